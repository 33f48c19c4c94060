//! The OpenAPI document, put together from its parts.

use std::sync::LazyLock;

/// What `GET /v1/openapi.json` answers.
pub(super) static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let paths = joined(
        include_str!("openapi/paths.json"),
        include_str!("openapi/lifecycle-paths.json"),
    );
    let schemas = joined(
        include_str!("openapi/schemas.json"),
        include_str!("openapi/lifecycle-schemas.json"),
    );
    let info = include_str!("openapi/info.json");
    let responses = include_str!("openapi/responses.json");
    let security = include_str!("openapi/security.json");
    format!(
        r#"{{"openapi": "3.1.0", "info": {info},
        "servers": [{{"url": "/"}}],
        "tags": [{{"name": "health"}}, {{"name": "events"}}, {{"name": "streams"}}, {{"name": "lifecycle"}}],
        "paths": {paths}, "components": {{"securitySchemes": {security}, "schemas": {schemas}, "responses": {responses}}}}}"#
    )
});

/// One object of two, in their order.
fn joined(one: &str, other: &str) -> String {
    let one = one.trim_end().strip_suffix('}').unwrap_or(one);
    let other = other.trim_start().strip_prefix('{').unwrap_or(other);
    format!("{one},{other}")
}
