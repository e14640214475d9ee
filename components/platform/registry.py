"""The stack's container registry and the images in it.

Owns the registry, its pull-through rules, the right to pull from it, and the task that builds our ONNX image. Does not
own the network it is reached through (`platform.network`) nor what is in the image (`runtimes/onnx`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
from pulumi_azure_native import authorization, containerregistry

from components.platform.naming import unique
from components.platform.roles import Role, grant

BUILD_TIMEOUT_SECONDS = 1800


@dataclass(frozen=True, kw_only=True)
class Build:
    """An image that the registry builds: a Git URL with branch or commit, a folder in it, and the image's name."""

    source: str
    folder: str
    repository: str
    tag: str


@dataclass(frozen=True, kw_only=True)
class RegistryArgs:
    """What a registry needs to know.

    `puller_principal_ids` may pull and do nothing else; `cached` maps a repository here to the public repository that
    it mirrors, so that nodes never pull from the Internet themselves.
    """

    resource_group_name: pulumi.Input[str]
    subscription_id: pulumi.Input[str]
    puller_principal_ids: Mapping[str, pulumi.Input[str]]
    cached: Mapping[str, str] = field(default_factory=dict[str, str])
    builds: Sequence[Build] = ()
    private: bool = False


class Registry(pulumi.ComponentResource):
    """A registry that only named identities can pull from, and nobody can push to by password."""

    id: pulumi.Output[str]
    login_server: pulumi.Output[str]

    def __init__(self, name: str, args: RegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slm:platform:Registry", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        registry = self._registry(name, args, child)
        rules = self._cache_rules(name, args, registry, child)
        rights = self._pull_rights(name, args, registry, child)
        builds = self._builds(name, args, registry, child)

        self.id = registry.id
        self.login_server = registry.login_server
        # Whoever pulls must wait for the image, the rule that fetches it, and the right to have it.
        ready = pulumi.Output.all(*(part.id for part in (*rules, *rights, *builds)))
        self._server = pulumi.Output.all(registry.login_server, ready).apply(lambda known: str(known[0]))
        self.register_outputs({"id": self.id, "login_server": self.login_server})

    def image(self, repository: str, tag: str) -> pulumi.Output[str]:
        """The full name of an image of this registry, `server/repository:tag`, once it can be pulled."""
        return pulumi.Output.concat(self._server, "/", repository, ":", tag)

    @staticmethod
    def _registry(name: str, args: RegistryArgs, opts: pulumi.ResourceOptions) -> containerregistry.Registry:
        # Premium alone has private endpoints and artifact streaming; elsewhere Standard serves as well for less.
        sku = containerregistry.SkuName.PREMIUM if args.private else containerregistry.SkuName.STANDARD
        access = containerregistry.PublicNetworkAccess
        return containerregistry.Registry(
            f"{name}-registry",
            registry_name=unique(name.replace("-", ""), args.subscription_id, separator=""),
            resource_group_name=args.resource_group_name,
            sku=containerregistry.SkuArgs(name=sku),
            admin_user_enabled=False,
            anonymous_pull_enabled=False,
            public_network_access=access.DISABLED if args.private else access.ENABLED,
            opts=opts,
        )

    @staticmethod
    def _cache_rules(
        name: str, args: RegistryArgs, registry: containerregistry.Registry, opts: pulumi.ResourceOptions
    ) -> Sequence[containerregistry.CacheRule]:
        return [
            containerregistry.CacheRule(
                f"{name}-cache-{target.replace('/', '-')}",
                resource_group_name=args.resource_group_name,
                registry_name=registry.name,
                source_repository=source,
                target_repository=target,
                opts=opts,
            )
            for target, source in args.cached.items()
        ]

    @staticmethod
    def _pull_rights(
        name: str, args: RegistryArgs, registry: containerregistry.Registry, opts: pulumi.ResourceOptions
    ) -> Sequence[authorization.RoleAssignment]:
        return [
            grant(
                f"{name}-pull-{who}",
                role=Role.ACR_PULL,
                scope=registry.id,
                principal_id=principal_id,
                subscription_id=args.subscription_id,
                opts=opts,
            )
            for who, principal_id in args.puller_principal_ids.items()
        ]

    @staticmethod
    def _builds(
        name: str, args: RegistryArgs, registry: containerregistry.Registry, opts: pulumi.ResourceOptions
    ) -> Sequence[containerregistry.TaskRun]:
        return [
            containerregistry.TaskRun(
                f"{name}-build-{build.repository}",
                resource_group_name=args.resource_group_name,
                registry_name=registry.name,
                force_update_tag=build.tag,
                run_request=containerregistry.DockerBuildRequestArgs(
                    type="DockerBuildRequest",
                    docker_file_path="Dockerfile",
                    source_location=f"{build.source}:{build.folder}",
                    image_names=[f"{build.repository}:{build.tag}"],
                    is_push_enabled=True,
                    platform=containerregistry.PlatformPropertiesArgs(os="Linux", architecture="amd64"),
                    timeout=BUILD_TIMEOUT_SECONDS,
                ),
                opts=opts,
            )
            for build in args.builds
        ]
