use serde_json::Value;

/// One value inside of others: a key as it stands, else the way into objects that its dots describe.
/// `None`: there is nothing there.
pub fn pick(value: Value, key: &str) -> Option<Value> {
    let Value::Object(mut entries) = value else { return None };
    if let Some(found) = entries.remove(key) {
        return Some(found);
    }
    // Each dot may be the end of a name or a part of it; only the entry that is gone into is taken out.
    let splits: Vec<usize> = key.match_indices('.').map(|(at, _)| at).collect();
    splits.into_iter().find_map(|at| pick(entries.remove(&key[..at])?, &key[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn dots_lead_into_objects_and_a_name_with_dots_is_found_as_it_stands() {
        let value = || json!({ "db": { "primary": { "user": "a" }, "a.b": 1 }, "x.y": 2, "x": { "z": 3 } });
        assert_eq!(pick(value(), "db.primary.user"), Some(json!("a")));
        assert_eq!(pick(value(), "db.a.b"), Some(json!(1)));
        assert_eq!(pick(value(), "x.y"), Some(json!(2)));
        assert_eq!(pick(value(), "x.z"), Some(json!(3)));
        assert_eq!(pick(value(), "db"), Some(json!({ "primary": { "user": "a" }, "a.b": 1 })));
        for missing in ["nothing", "db.nothing", "db.primary.user.deeper", "", "."] {
            assert_eq!(pick(value(), missing), None, "{missing}");
        }
    }
}
