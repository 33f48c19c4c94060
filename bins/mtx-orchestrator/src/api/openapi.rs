//! The OpenAPI document, put together from its parts.

/// What `GET /v1/openapi.json` answers.
pub(super) const DOCUMENT: &str = concat!(
    r#"{"openapi": "3.1.0", "info": "#,
    include_str!("openapi/info.json"),
    r#", "servers": [{"url": "/"}], "security": [{}, {"token": []}, {"login": []}],
    "tags": [{"name": "health"}, {"name": "events"}, {"name": "streams"}],
    "paths": "#,
    include_str!("openapi/paths.json"),
    r#", "components": {"securitySchemes": {"token": {
        "type": "http", "scheme": "bearer", "description": "ORCHESTRATOR_TOKEN, when that is set."
    }, "login": {
        "type": "http", "scheme": "basic", "description": "Any name, and that token for the password."
    }}, "schemas": "#,
    include_str!("openapi/schemas.json"),
    r#", "responses": "#,
    include_str!("openapi/responses.json"),
    "}}",
);
