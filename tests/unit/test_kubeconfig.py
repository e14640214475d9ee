"""The cluster's kubeconfig works where nobody sits before a browser."""

import pytest

from components.platform.cluster import unattended

AKS = """\
users:
- name: clusterUser_slm
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      args:
      - get-token
      - --environment
      - AzurePublicCloud
      - --login
      - devicecode
      command: kubelogin
"""


def test_aks_own_kubeconfig_asks_the_azure_cli() -> None:
    assert unattended(AKS) == AKS.replace("devicecode", "azurecli")


@pytest.mark.parametrize("kubeconfig", [AKS.replace("devicecode", "workloadidentity"), "users: []\n", "# devicecode\n"])
def test_any_other_kubeconfig_stays_as_it_is(kubeconfig: str) -> None:
    assert unattended(kubeconfig) == kubeconfig
