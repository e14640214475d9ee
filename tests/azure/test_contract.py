"""Every resource type in use: the emulator takes what Azure takes and refuses what Azure refuses."""

import importlib
import inspect
from pathlib import Path
from typing import Any, cast

import pytest

from rehearsal.azure.contract import Kind, Shape, shape
from rehearsal.azure.types import TYPES
from tests.azure.support import CASES, VALUE, Azure, Body, Case, changed, without

EVERY_TYPE = pytest.mark.parametrize("case", CASES, ids=lambda case: case.token)
EVERY_TYPE_IN_A_GROUP = pytest.mark.parametrize("case", CASES[1:], ids=lambda case: case.token)


@EVERY_TYPE
def test_a_valid_resource_is_made_and_found_again(azure: Azure, case: Case) -> None:
    azure.make(until=case.token)
    answer = azure.call("PUT", case.id, case.body)
    assert answer.status == 201
    found = azure.get(case.id)
    assert (found["id"], found["type"]) == (case.id, case.type.arm_type)


@EVERY_TYPE
def test_an_answer_conforms_to_microsofts_own_model(full: Azure, case: Case) -> None:
    assert list(strangers(full.get(case.id), case.type.response, "")) == []


@EVERY_TYPE
def test_the_same_put_again_changes_nothing(full: Azure, case: Case) -> None:
    before = full.get(case.id)
    answer = full.call("PUT", case.id, case.body)
    assert answer.status == 200
    assert stable(full.get(case.id)) == stable(before)


@EVERY_TYPE
def test_what_a_get_answers_can_be_put_back(full: Azure, case: Case) -> None:
    found = full.get(case.id)
    body = {key: value for key, value in found.items() if key in case.type.request.fields}
    assert full.call("PUT", case.id, body).status == 200
    assert stable(full.get(case.id)) == stable(found)


@EVERY_TYPE
def test_an_unknown_field_is_refused(azure: Azure, case: Case) -> None:
    azure.make(until=case.token)
    assert azure.refused("PUT", case.id, case.body | {"colour": "red"})[0] == 400
    if "properties" in case.body:
        assert azure.refused("PUT", case.id, changed(case.body, "properties.colour", "red"))[0] == 400


@EVERY_TYPE
def test_a_read_only_field_is_refused(azure: Azure, case: Case) -> None:
    azure.make(until=case.token)
    path, value = case.read_only
    status, code = azure.refused("PUT", case.id, changed(case.body, path, value))
    assert (status, code) in [(400, "PropertyReadOnly"), (400, "InvalidRequestContent")]


@EVERY_TYPE
def test_a_missing_field_is_refused(azure: Azure, case: Case) -> None:
    azure.make(until=case.token)
    assert azure.refused("PUT", case.id, without(case.body, case.required))[0] == 400


@EVERY_TYPE
def test_a_change_of_what_is_fixed_is_refused(full: Azure, case: Case) -> None:
    path, value = case.immutable
    before = full.get(case.id)
    status, _ = full.refused("PUT", case.id, changed(case.body, path, value))
    assert status in (400, 409)
    assert full.get(case.id) == before


@EVERY_TYPE
def test_a_value_of_the_wrong_type_is_refused(azure: Azure, case: Case) -> None:
    azure.make(until=case.token)
    field = next(iter(case.body))
    assert azure.refused("PUT", case.id, case.body | {field: 7})[0] == 400


@EVERY_TYPE
def test_an_unknown_api_version_is_refused(full: Azure, case: Case) -> None:
    assert full.refused("GET", case.id, version="2001-01-01") == (400, "NoRegisteredProviderFound")


@EVERY_TYPE
def test_a_name_against_the_rules_is_refused(azure: Azure, case: Case) -> None:
    azure.make(until=case.token)
    status, code = azure.refused("PUT", case.id.rpartition("/")[0] + "/-!", case.body)
    assert (status, code) in [(400, "InvalidResourceName"), (400, "InvalidParameter")]


@EVERY_TYPE
def test_what_is_deleted_is_gone_and_a_second_deletion_says_so(full: Azure, case: Case) -> None:
    for later in reversed(CASES[CASES.index(case) + 1 :]):
        if later.deletable:
            full.delete(later.id)
    if not case.deletable:
        assert full.refused("DELETE", case.id)[0] == 405
        return
    full.delete(case.id)
    assert full.refused("GET", case.id)[0] == 404


@EVERY_TYPE_IN_A_GROUP
def test_a_resource_without_its_group_or_parent_is_refused(azure: Azure, case: Case) -> None:
    assert azure.refused("PUT", case.id, case.body) == (404, "ResourceGroupNotFound")


def test_the_table_names_the_versions_that_the_packages_have() -> None:
    for kind in TYPES:
        package = kind.response_model.partition(".models:")[0]
        folder = Path(str(importlib.import_module(package).__file__)).parent
        files = [*folder.rglob("_configuration.py"), *folder.rglob("operations/_operations.py")]
        assert any(f'"{kind.model_version}"' in file.read_text() for file in files), kind.token


def test_the_table_names_the_versions_that_azure_native_sends() -> None:
    for kind in TYPES:
        _, module, name = kind.token.split(":")
        resource = getattr(importlib.import_module(f"pulumi_azure_native.{module}"), name)
        source = Path(str(inspect.getsourcefile(resource))).read_text()
        assert f"Uses Azure REST API version {kind.api_version}." in source, kind.token


def test_a_list_has_what_is_under_its_parent_and_nothing_else(full: Azure) -> None:
    for case in CASES:
        collection = case.id.rpartition("/")[0]
        found = full.call("GET", collection, version=case.type.api_version).body["value"]
        assert case.id in [one["id"] for one in found]
        assert {one["type"] for one in found} == {case.type.arm_type}


def test_a_secrets_value_is_in_no_answer_of_the_control_plane(full: Azure) -> None:
    for case in CASES:
        assert VALUE not in str(full.get(case.id))


def stable(body: dict[str, Any]) -> dict[str, Any]:
    """A body without what changes at every write."""
    text = {key: value for key, value in body.items() if key not in ("etag", "systemData")}
    return {key: _stable(value) for key, value in text.items()}


_CHANGING = ("etag", "secretUriWithVersion", "attributes")


def _stable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _stable(item) for key, item in cast(Body, value).items() if key not in _CHANGING}
    return [_stable(item) for item in cast(list[Any], value)] if isinstance(value, list) else value


def strangers(value: Any, wanted: Shape, path: str) -> list[str]:
    """The fields of an answer that Microsoft's model does not have."""
    wanted = wanted.of(value)
    found: list[str] = []
    for name, item in value.items():
        field = wanted.fields.get(name)
        found += [f"{path}.{name}"] if field is None else _inside(item, field.kind, f"{path}.{name}")
    return found


def _inside(value: Any, kind: Kind, path: str) -> list[str]:
    if kind.name == "model" and isinstance(value, dict):
        return strangers(value, shape(kind.model), path)
    if kind.items is not None:
        items = list(cast(Body, value).values()) if isinstance(value, dict) else cast(list[Any], value)
        return [one for item in items for one in _inside(item, kind.items, path)]
    return [] if not kind.choices or value in kind.choices else [f"{path}={value}"]
