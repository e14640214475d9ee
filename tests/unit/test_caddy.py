"""The gateway's configuration says what it must, whatever the stack serves."""

from components.serving.caddy import Backend, GatewayConfig, render_caddyfile, routes


def configured(*names: str, keys: tuple[str, ...] = ("default",)) -> GatewayConfig:
    return GatewayConfig(
        public_name="slm.example",
        acme_directory="https://acme.example/directory",
        keys=keys,
        backends=[Backend(name=name, engine="onnx", host=f"{name}.slm.svc.cluster.local") for name in names],
        default=names[0],
        max_body_mib=10,
        wait_seconds=60,
    )


def test_the_default_server_alone_has_the_unnamed_routes() -> None:
    found = routes(configured("onnx", "second"))
    assert ("/v1/models", "/v1/models") in found["onnx"]
    assert found["second"] == [
        ("/second/v1/chat/completions", "/v1/chat/completions"),
        ("/second/v1/models", "/v1/models"),
    ]


def test_no_path_leads_to_two_servers() -> None:
    paths = [path for pairs in routes(configured("onnx", "second", "third")).values() for path, _ in pairs]
    assert len(paths) == len(set(paths))


def test_a_route_is_matched_as_it_was_sent() -> None:
    text = render_caddyfile(configured("onnx"))
    assert "@to_onnx vars_regexp {http.request.orig_uri} ^(/onnx/v1/chat/completions|" in text
    assert "path /v1" not in text


def test_a_key_is_read_from_its_file_and_stands_nowhere() -> None:
    text = render_caddyfile(configured("onnx", keys=("default", "team-b")))
    assert text.count('header Authorization "Bearer {file./etc/slm/keys/team-b}"') == 1
    assert "request_header -Authorization" in text


def test_only_the_named_authority_is_asked_for_certificates() -> None:
    text = render_caddyfile(configured("onnx"))
    assert "cert_issuer acme {\n\t\tdir https://acme.example/directory\n\t}" in text
    assert text.count("issuer") == 1


def test_backends_have_servers_of_their_own_names_on_loopback_alone() -> None:
    text = render_caddyfile(configured("onnx", "second"))
    assert "servers 127.0.0.1:9001 {\n\t\tname onnx\n" in text
    assert "servers 127.0.0.1:9002 {\n\t\tname second\n" in text
    assert text.count("bind 127.0.0.1") == 2


def test_every_server_reads_a_request_to_its_end_while_it_answers() -> None:
    text = render_caddyfile(configured("onnx", "second"))
    assert text.count("enable_full_duplex") == 3


def test_braces_are_balanced_and_every_line_is_indented_by_its_depth() -> None:
    depth = 0
    for line in render_caddyfile(configured("onnx", "second")).splitlines():
        depth -= line.strip() == "}"
        assert len(line) - len(line.lstrip("\t")) == (depth if line else 0)
        depth += line.endswith("{")
    assert depth == 0
