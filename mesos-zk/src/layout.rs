//! What the nodes are called.

use mesos_core::{Key, StoreOp, mesos_proto};

/// The nodes below the root of one framework.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: String,
}

impl Layout {
    /// `root` is `""` or absolute.
    pub(crate) fn new(root: &str) -> Self {
        Self { root: root.to_owned() }
    }

    /// Who writes: its version counts the owners.
    pub(crate) fn owner(&self) -> String {
        format!("{}/owner", self.root)
    }

    /// The candidates' nodes are below.
    pub(crate) fn election(&self) -> String {
        format!("{}/election", self.root)
    }

    /// The framework's id as text, for people and for tools that know the original's layout (S167).
    pub(crate) fn framework_id(&self) -> String {
        format!("{}/framework-id", self.root)
    }

    /// The records are below, side by side.
    pub(crate) fn records(&self) -> String {
        format!("{}/records", self.root)
    }

    pub(crate) fn record(&self, key: &Key) -> String {
        format!("{}/records/{}", self.root, node(key))
    }
}

/// A key is one node: its segments are joined by commas, and what were commas are written as `%2C`, which no key has.
/// So a node with children never has to be told from a record, and none is left over when a record goes.
fn node(key: &Key) -> String {
    key.as_str().replace(',', "%2C").replace('/', ",")
}

/// The key of a node. One that isn't ours gets a key of its own, that nobody else has: whoever reads the records has
/// to say what he thinks of it.
pub(crate) fn key(node: &str) -> Key {
    let key = Key::parse(&node.replace(',', "/").replace("%2C", ","));
    key.unwrap_or_else(|| Key::new([node]))
}

/// What a change says about the framework's id: `None` if nothing, else what the id is from now on.
pub(crate) fn framework_id(op: &StoreOp) -> Option<Option<String>> {
    match op {
        StoreOp::Put { key, value } if key.as_str() == "framework" => {
            let record = mesos_proto::json::decode::<mesos_proto::store::Framework>(value).ok()?;
            Some(Some(record.id))
        }
        StoreOp::Delete { key } if key.as_str() == "framework" => Some(None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nodes_can_be_read() {
        let layout = Layout::new("/a");
        assert_eq!(layout.record(&Key::new(["inst", "web", "0", "3"])), "/a/records/inst,web,0,3");
        assert_eq!(layout.record(&Key::new(["x,y/z", ""])), "/a/records/x%2Cy%2Fz,%");
        assert_eq!(key("no key"), Key::new(["no key"]));
    }

    proptest! {
        #[test]
        fn keys_survive(segments in proptest::collection::vec("[a,/%.\u{e4}-]{0,4}", 1..5)) {
            let given = Key::new(&segments);
            let name = node(&given);
            prop_assert!(!name.contains('/') && name.bytes().all(|b| b.is_ascii_graphic()));
            prop_assert!(name != "." && name != "..");
            prop_assert_eq!(key(&name), given);
        }
    }
}
