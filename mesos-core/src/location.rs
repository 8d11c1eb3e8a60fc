//! Where a redirect leads.

use alloc::borrow::ToOwned;
use alloc::string::String;

use crate::Endpoint;
use crate::endpoint::{MASTER_PORT, parse_authority};

/// A redirect that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedirectError {
    /// The answer has no `Location`.
    #[error("a redirect without a Location")]
    Missing,
    /// The `Location` names no server.
    #[error("a redirect to nowhere: {0:?}")]
    Malformed(String),
    /// From TLS to plain text: credentials and tasks would be open to anybody.
    #[error("a redirect from https to http: {0:?}")]
    Downgrade(String),
    /// More redirects in a row than allowed.
    #[error("redirected more than {0} times")]
    TooMany(u8),
}

/// Resolves the `Location` of an answer from `from` to a request for `path`.
///
/// Masters write `//host:port/path`; older ones and proxies an absolute URL, the documents a bare `host:port`. Without
/// a scheme the one of the request stays, without a path the request's path; never from https to http.
pub(crate) fn resolve(
    location: Option<&str>,
    from: &Endpoint,
    path: &str,
) -> Result<(Endpoint, String), RedirectError> {
    let location = location.ok_or(RedirectError::Missing)?;
    let text = location.trim_matches([' ', '\t']);
    let malformed = || RedirectError::Malformed(location.to_owned());
    let from_tls = matches!(from, Endpoint::Tcp { tls: true, .. });
    let (tls, rest) = if let Some(rest) = text.strip_prefix("//") {
        (from_tls, rest)
    } else if let Some((scheme, rest)) = text.split_once("://") {
        match scheme {
            _ if scheme.eq_ignore_ascii_case("http") => (false, rest),
            _ if scheme.eq_ignore_ascii_case("https") => (true, rest),
            _ => return Err(malformed()),
        }
    } else if text.starts_with('/') {
        // Another path on the same server.
        let target = target(text, path).ok_or_else(malformed)?;
        return Ok((from.clone(), target));
    } else {
        (from_tls, text)
    };
    if from_tls && !tls {
        return Err(RedirectError::Downgrade(location.to_owned()));
    }
    let cut = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(cut).ok_or_else(malformed)?;
    let (host, port) = parse_authority(authority, MASTER_PORT).map_err(|_| malformed())?;
    let target = target(rest, path).ok_or_else(malformed)?;
    Ok((Endpoint::Tcp { tls, host, port }, target))
}

/// The path of a `Location`, without fragment, or `path` if it has none; `None` if it cannot stand in a request line.
fn target(text: &str, path: &str) -> Option<String> {
    let text = text.split('#').next().unwrap_or_default();
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    match text {
        "" | "/" => Some(path.to_owned()),
        _ if text.starts_with('/') => Some(text.to_owned()),
        // A query without a path.
        _ => Some([path, text].concat()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    const API: &str = "/api/v1/scheduler";

    fn at(location: &str, from: &str) -> Result<String, RedirectError> {
        let from = from.parse().expect("an endpoint");
        resolve(Some(location), &from, API).map(|(endpoint, path)| format!("{endpoint}{path}"))
    }

    // S142, S143
    #[test]
    fn locations_people_and_masters_write() {
        for (location, expected) in [
            ("//h:5051/master/api/v1/scheduler", "http://h:5051/master/api/v1/scheduler"),
            ("//h:5051", "http://h:5051/api/v1/scheduler"),
            ("//h:5051/", "http://h:5051/api/v1/scheduler"),
            ("//h", "http://h:5050/api/v1/scheduler"),
            ("http://h:1/x?y=z#f", "http://h:1/x?y=z"),
            ("HTTPS://h:1/x", "https://h:1/x"),
            ("h:1", "http://h:1/api/v1/scheduler"),
            ("h", "http://h:5050/api/v1/scheduler"),
            ("10.0.0.2:5050/x", "http://10.0.0.2:5050/x"),
            ("//[::1]:5050/x", "http://[::1]:5050/x"),
            ("[::1]:7", "http://[::1]:7/api/v1/scheduler"),
            ("/other", "http://m:5050/other"),
            (" //h:1/x\t", "http://h:1/x"),
            ("//h:1?q", "http://h:1/api/v1/scheduler?q"),
        ] {
            assert_eq!(at(location, "http://m:5050").as_deref(), Ok(expected), "{location}");
        }
    }

    // S143: the scheme stays when none is given, and TLS is never given up.
    #[test]
    fn schemes() {
        assert_eq!(at("//h:1/x", "https://m").as_deref(), Ok("https://h:1/x"));
        assert_eq!(at("h:1", "https://m").as_deref(), Ok("https://h:1/api/v1/scheduler"));
        assert_eq!(at("https://h:1/x", "http://m").as_deref(), Ok("https://h:1/x"));
        assert_eq!(at("http://h:1/x", "https://m"), Err(RedirectError::Downgrade("http://h:1/x".to_string())));
    }

    #[test]
    fn nowhere() {
        let from = "m".parse().expect("an endpoint");
        assert_eq!(resolve(None, &from, API), Err(RedirectError::Missing));
        for location in [
            "",
            "//",
            "///x",
            "ftp://h/x",
            "//h:x/",
            "//h:0",
            "//u@h:1/",
            "//h:1/a b",
            "//h:1/\u{e4}",
            "//[::1/x",
            "//a:b:c",
        ] {
            assert_eq!(at(location, "http://m"), Err(RedirectError::Malformed(location.to_string())), "{location}");
        }
    }
}
