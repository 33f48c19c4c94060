//! What goes back to a client.

/// An answer before it is written.
#[derive(Debug)]
pub struct Answer {
    /// HTTP's status code.
    pub status: u16,
    /// Of the body.
    pub content_type: &'static str,
    /// Those of HTTP itself are added when it is written.
    pub headers: Vec<(&'static str, String)>,
    /// As it goes out, except to a HEAD.
    pub body: Vec<u8>,
}

impl Answer {
    /// One without further headers.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            content_type,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// One whose body is JSON.
    pub fn json(status: u16, body: &impl serde::Serialize) -> Self {
        // Only maps whose keys are no text fail, and there are none.
        let body = serde_json::to_vec(body).unwrap_or_default();
        Self::new(status, "application/json", body)
    }
}
