//! The value of the `Authorization` header.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

use mesos_proto::base64;

/// What proves to a server who we are. `Debug` doesn't show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorization {
    value: String,
    principal: Option<String>,
}

/// The text cannot stand in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value of a header is one or more visible ASCII characters and spaces")]
#[non_exhaustive]
pub struct AuthorizationError;

impl Authorization {
    /// HTTP Basic, which Mesos's own authenticator wants. The principal also becomes the framework's.
    ///
    /// ```
    /// use mesos_core::Authorization;
    ///
    /// assert_eq!(format!("{:?}", Authorization::basic("web", "secret")), r#"Authorization(principal "web")"#);
    /// ```
    #[must_use]
    pub fn basic(principal: impl Into<String>, secret: impl AsRef<[u8]>) -> Self {
        let principal = principal.into();
        let plain = [principal.as_bytes(), b":", secret.as_ref()].concat();
        Self { value: ["Basic ", &base64::encode(&plain)].concat(), principal: Some(principal) }
    }

    /// Any other value, such as `Bearer ...` or `token=...`.
    ///
    /// # Errors
    /// The text is empty, or has characters other than visible ASCII and spaces.
    pub fn header(value: impl Into<String>) -> Result<Self, AuthorizationError> {
        let value = value.into();
        let legal = !value.is_empty() && value.bytes().all(|b| matches!(b, b' '..=b'~'));
        if legal { Ok(Self { value, principal: None }) } else { Err(AuthorizationError) }
    }

    pub(crate) fn value(&self) -> String {
        self.value.to_owned()
    }

    pub(crate) fn principal(&self) -> Option<&str> {
        self.principal.as_deref()
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.principal {
            Some(principal) => write!(f, "Authorization(principal {principal:?})"),
            None => f.write_str("Authorization(***)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn basic_is_as_rfc_7617_has_it() {
        let a = Authorization::basic("Aladdin", "open sesame");
        assert_eq!(a.value(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(a.principal(), Some("Aladdin"));
    }

    #[test]
    fn what_no_header_may_have() {
        for bad in ["", "a\r\nX: y", "ä", "a\0"] {
            assert_eq!(Authorization::header(bad), Err(AuthorizationError), "{bad:?}");
        }
        let token = Authorization::header("token=abc").expect("legal");
        assert_eq!(token.value(), "token=abc");
        assert!(!format!("{token:?}").contains("abc"));
    }
}
