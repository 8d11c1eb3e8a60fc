//! What Mesos takes as an id, a role and a uuid.

use crate::scheduler::RoleFault;

const ID_BYTES: usize = 255;

/// Why an id is refused: Mesos wants 1 to 255 bytes, no `/`, `\`, control characters or white space around, and
/// neither `.` nor `..`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// It is the empty text.
    #[error("is empty")]
    Empty,
    /// It has more than 255 bytes.
    #[error("is longer than 255 bytes")]
    TooLong,
    /// It is `.` or `..`.
    #[error("is '.' or '..'")]
    Reserved,
    /// It has a slash, a backslash or a control character.
    #[error("has a slash, a backslash or a control character")]
    Character,
}

/// Checks a task, executor, framework, agent or offer id.
pub(crate) fn id(id: &str) -> Result<(), IdError> {
    match id {
        "" => Err(IdError::Empty),
        "." | ".." => Err(IdError::Reserved),
        _ if id.len() > ID_BYTES => Err(IdError::TooLong),
        _ if id.chars().any(|c| c.is_control() || matches!(c, '/' | '\\')) => Err(IdError::Character),
        _ => Ok(()),
    }
}

/// Checks a role by itself; whether the framework has it is another question.
pub(crate) fn role(role: &str) -> Result<(), RoleFault> {
    match role {
        "" => return Err(RoleFault::Empty),
        "*" => return Ok(()),
        _ => {}
    }
    if role.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(RoleFault::Character);
    }
    for component in role.split('/') {
        match component {
            "" => return Err(RoleFault::EmptyComponent),
            "." | ".." | "*" => return Err(RoleFault::ReservedComponent),
            _ if component.starts_with('-') => return Err(RoleFault::LeadingDash),
            _ => {}
        }
    }
    Ok(())
}

/// Whether a master takes these bytes as the uuid of an acknowledgement: 16 bytes with a version from 1 to 5 (zero and
/// other versions get 400; the variant bits are not looked at).
pub(crate) fn uuid(bytes: &[u8]) -> bool {
    bytes.len() == 16 && bytes.get(6).is_some_and(|b| (1..=5).contains(&(b >> 4)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    #[test]
    fn ids() {
        for good in ["a", "a b", "ä", "web.1", "...", &"x".repeat(255)] {
            assert_eq!(id(good), Ok(()), "{good}");
        }
        let long: String = "x".repeat(256);
        for (bad, fault) in [
            ("", IdError::Empty),
            (".", IdError::Reserved),
            ("..", IdError::Reserved),
            ("a/b", IdError::Character),
            ("a\\b", IdError::Character),
            ("a\n", IdError::Character),
            ("a\u{7f}", IdError::Character),
            (&long, IdError::TooLong),
        ] {
            assert_eq!(id(bad), Err(fault), "{bad:?}");
        }
    }

    #[test]
    fn roles() {
        for good in ["*", "web", "eng/web", "a-b", "a.b", "ä"] {
            assert_eq!(role(good), Ok(()), "{good}");
        }
        for (bad, fault) in [
            ("", RoleFault::Empty),
            ("/bad", RoleFault::EmptyComponent),
            ("a/", RoleFault::EmptyComponent),
            ("a//b", RoleFault::EmptyComponent),
            ("a/*", RoleFault::ReservedComponent),
            (".", RoleFault::ReservedComponent),
            ("a/..", RoleFault::ReservedComponent),
            ("-x", RoleFault::LeadingDash),
            ("a/-x", RoleFault::LeadingDash),
            ("a b", RoleFault::Character),
            ("a\u{8}", RoleFault::Character),
        ] {
            assert_eq!(role(bad), Err(fault), "{bad:?}");
        }
    }

    // S51, W57: what a real master answers with 400 is never sent.
    #[test]
    fn uuids() {
        let with_version = |version: u8| {
            let mut bytes = [0xab_u8; 16];
            bytes[6] = version << 4;
            bytes
        };
        for version in 0..16 {
            assert_eq!(uuid(&with_version(version)), (1..=5).contains(&version), "version {version}");
        }
        assert!(!uuid(&[0; 16]));
        assert!(!uuid(&with_version(4)[..15]));
        assert!(!uuid(b""));
    }
}
