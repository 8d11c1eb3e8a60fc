//! What the master answers to what the library would never send: status, headers and text.

use conformance::http::{Answer, ask};
use conformance::mesos_core::scheduler::Framework;
use conformance::{Cluster, Scheduler};

const PATH: &str = "/api/v1/scheduler";
const JSON: (&str, &str) = ("Content-Type", "application/json");

fn whole(status: u16, text: &str) -> Answer {
    let mut headers = vec![("Content-Length".to_owned(), text.len().to_string())];
    if !text.is_empty() {
        headers.push(("Content-Type".to_owned(), "text/plain; charset=utf-8".to_owned()));
    }
    headers.sort();
    Answer { status, headers, body: text.to_owned() }
}

/// The order of headers is looked at where it matters, with streams.
async fn sorted(master: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut answer = ask(master, method, path, headers, body).await;
    answer.headers.sort();
    answer
}

/// The checks before a call is looked at.
pub(crate) async fn malformed_requests(cluster: &Cluster) {
    let master = &cluster.masters()[0];
    let mut wrong = Vec::new();
    let mut check = async |method: &str, path: &str, headers: &[(&str, &str)], body: &str, expected: Answer| {
        let answer = sorted(master, method, path, headers, body).await;
        if answer != expected {
            wrong.push(format!("{method} {path} {headers:?} {body}\n  expected {expected:?}\n  answered {answer:?}"));
        }
    };
    let revive = r#"{"type": "REVIVE", "framework_id": {"value": "f"}}"#;
    for method in ["GET", "PUT", "OPTIONS"] {
        let text = format!("405 Method Not Allowed. Expecting one of {{ 'POST' }}, but received '{method}'.");
        let mut refused = whole(405, &text);
        refused.headers.insert(0, ("Allow".to_owned(), "POST".to_owned()));
        check(method, PATH, &[], "", refused).await;
    }
    check("POST", "/nothing", &[JSON], revive, whole(404, "404 Not Found.")).await;
    check("POST", PATH, &[], revive, whole(400, "Expecting 'Content-Type' to be present")).await;
    let unsupported = whole(415, "Expecting 'Content-Type' of application/json or application/x-protobuf");
    for value in ["text/plain", "application/json; charset=utf-8", "Application/JSON"] {
        check("POST", PATH, &[("Content-Type", value)], revive, unsupported.clone()).await;
    }
    let subscribe = r#"{"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "u", "name": "n"}}}"#;
    let text = "Subscribe calls should not include the 'Mesos-Stream-Id' header";
    check("POST", PATH, &[JSON, ("Mesos-Stream-Id", "x")], subscribe, whole(400, text)).await;
    let text = "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'";
    for accept in ["text/html", "application/recordio"] {
        check("POST", PATH, &[JSON, ("Accept", accept)], subscribe, whole(406, text)).await;
    }
    for path in ["/master/api/v1/scheduler", "/api/v1/scheduler/", "/api/v1/scheduler?a=b"] {
        check("POST", path, &[JSON], revive, whole(400, "Framework cannot be found")).await;
    }

    let lacks = |fields: &str| format!("Failed to convert JSON into Call protobuf: Missing required fields: {fields}");
    let invalid = |text: &str| format!("Failed to validate scheduler::Call: {text}");
    let absent = |name: &str| invalid(&format!("Expecting '{name}' to be present"));
    for (body, text) in [
        ("{}", absent("type")),
        (r#"{"type": "NO_SUCH_TYPE"}"#, absent("type")),
        (r#"{"type": "SUBSCRIBE"}"#, absent("subscribe")),
        (r#"{"type": "REVIVE"}"#, absent("framework_id")),
        (r#"{"type": "ACCEPT", "framework_id": {"value": "f"}}"#, absent("accept")),
        (r#"{"type": "DECLINE", "framework_id": {"value": "f"}}"#, absent("decline")),
        (r#"{"type": "KILL", "framework_id": {"value": "f"}}"#, absent("kill")),
        (r#"{"type": "RECONCILE", "framework_id": {"value": "f"}}"#, absent("reconcile")),
        (r#"{"type": "ACKNOWLEDGE", "framework_id": {"value": "f"}}"#, absent("acknowledge")),
        (r#"{"type": "MESSAGE", "framework_id": {"value": "f"}}"#, absent("message")),
        (r#"{"type": "REQUEST", "framework_id": {"value": "f"}}"#, absent("request")),
        (r#"{"type": "SHUTDOWN", "framework_id": {"value": "f"}}"#, absent("shutdown")),
        (r#"{"type": "UPDATE_FRAMEWORK", "framework_id": {"value": "f"}}"#, absent("update_framework")),
        (r#"{"type": "RECONCILE_OPERATIONS", "framework_id": {"value": "f"}}"#, absent("reconcile_operations")),
        (r#"{"type": "ACCEPT_INVERSE_OFFERS", "framework_id": {"value": "f"}}"#, absent("accept_inverse_offers")),
        (r#"{"type": "DECLINE_INVERSE_OFFERS", "framework_id": {"value": "f"}}"#, absent("decline_inverse_offers")),
        (
            r#"{"type": "ACKNOWLEDGE_OPERATION_STATUS", "framework_id": {"value": "f"}}"#,
            absent("acknowledge_operation_status"),
        ),
        (
            r#"{"type": "ACKNOWLEDGE", "framework_id": {"value": "f"}, "acknowledge":
              {"agent_id": {"value": "a"}, "task_id": {"value": "t"}, "uuid": "AAAAAAAAAAAAAAAAAAAAAA=="}}"#,
            invalid("Not a valid UUID"),
        ),
        (
            r#"{"type": "SUBSCRIBE", "framework_id": {"value": "f"},
              "subscribe": {"framework_info": {"user": "u", "name": "n"}}}"#,
            invalid("'framework_id' differs from 'subscribe.framework_info.id'"),
        ),
        (
            r#"{"type": "SUBSCRIBE", "subscribe": {"framework_info": {"name": "n"}}}"#,
            lacks("subscribe.framework_info.user"),
        ),
        (r#"{"type": "KILL", "framework_id": {"value": "f"}, "kill": {}}"#, lacks("kill.task_id")),
        (
            r#"{"type": "RECONCILE", "framework_id": {"value": "f"}, "reconcile": {"tasks":
              [{"task_id": {"value": "t"}}, {}]}}"#,
            lacks("reconcile.tasks[1].task_id"),
        ),
    ] {
        check("POST", PATH, &[JSON], body, whole(400, &text)).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // What isn't a message at all: the texts are those of the parsers.
    let protobuf = ("Content-Type", "application/x-protobuf");
    for (kind, bodies) in [
        (JSON, ["", "{", "[]", "no json", "{\"type\": 3}"]),
        (protobuf, ["\u{8}", "\u{a}", "\u{a}\u{0}", "{}", "\u{1a}\u{0}"]),
    ] {
        for body in bodies {
            let answer = sorted(master, "POST", PATH, &[kind], body).await;
            assert_eq!(answer.status, 400, "{body:?}: {answer:?}");
        }
    }
}

/// Calls of a framework that is subscribed, isn't, or is no more.
pub(crate) async fn calls_out_of_place(cluster: &Cluster) {
    let master = &cluster.masters()[0];
    let mut scheduler = Scheduler::start(cluster).await;
    let (id, stream) = (scheduler.id(), scheduler.seen.streams[0].clone());
    let call = |id: &str| format!(r#"{{"type": "REVIVE", "framework_id": {{"value": "{id}"}}}}"#);
    let post = async |stream: Option<&str>, id: &str| {
        let mut headers = vec![JSON];
        headers.extend(stream.map(|stream| ("Mesos-Stream-Id", stream)));
        sorted(master, "POST", PATH, &headers, &call(id)).await
    };
    assert_eq!(post(Some(&stream), &id).await, whole(202, ""));
    let unknown = whole(400, "Framework cannot be found");
    assert_eq!(post(Some(&stream), "no-such-framework").await, unknown);
    let text = "All non-subscribe calls should include the 'Mesos-Stream-Id' header";
    assert_eq!(post(None, &id).await, whole(400, text));
    let text = format!(
        "The stream ID 'other' included in this request didn't match the stream ID currently associated with framework \
         ID {id}"
    );
    assert_eq!(post(Some("other"), &id).await, whole(400, &text));

    // After a failover the first stream's id is worth nothing.
    let config = || cluster.config(Framework::new("conformance")).framework_id(&id).unwrap();
    let mut second = Scheduler::subscribed(cluster, config()).await;
    assert_eq!(scheduler.end().await, "fatal: failed over");
    assert_eq!(post(Some(&stream), &id).await, whole(400, &text.replace("'other'", &format!("'{stream}'"))));

    // The master notices the end of a stream a moment later.
    let stream = second.seen.streams[0].clone();
    second.with(|client| client.disconnect());
    assert_eq!(second.end().await, "left");
    let mut answer = post(Some(&stream), &id).await;
    for _ in 0..1000 {
        if answer.status != 202 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        answer = post(Some(&stream), &id).await;
    }
    assert_eq!(answer, whole(403, "Framework is not subscribed"));
    assert_eq!(post(None, &id).await, answer, "that is looked at first");

    let mut third = Scheduler::subscribed(cluster, config()).await;
    third.with(|client| client.teardown());
    assert_eq!(third.end().await, "removed");
    assert_eq!(post(Some(&stream), &id).await, unknown);
}

/// A refused SUBSCRIBE is answered with 200 and one ERROR.
pub(crate) async fn refused_subscriptions(cluster: &Cluster) {
    let master = &cluster.masters()[0];
    let multi = r#""capabilities": [{"type": "MULTI_ROLE"}]"#;
    let invalid = "'FrameworkInfo.roles' contains invalid role";
    for (info, text) in [
        (format!(r#"{multi}, "roles": ["/bad"]"#), format!("{invalid}: Role '/bad' cannot start with a slash")),
        (
            format!(r#"{multi}, "roles": ["a", "-x"]"#),
            format!("{invalid}: Role component '-x' is invalid because it starts with a dash"),
        ),
        (
            format!(r#"{multi}, "roles": ["a", "a"]"#),
            "'FrameworkInfo.roles' contains duplicate items: { a }".to_owned(),
        ),
        (
            format!(r#"{multi}, "role": "x""#),
            "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable".to_owned(),
        ),
        (
            r#""roles": ["x"]"#.to_owned(),
            "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable".to_owned(),
        ),
        (r#""failover_timeout": 1e300"#.to_owned(), "The framework failover_timeout (1e+300) is invalid".to_owned()),
    ] {
        let body = format!(
            r#"{{"type": "SUBSCRIBE", "subscribe": {{"framework_info": {{"user": "root", "name": "n", {info}}}}}}}"#
        );
        let answer = ask(master, "POST", PATH, &[JSON], &body).await;
        let names: Vec<&str> = answer.headers.iter().map(|header| header.0.as_str()).collect();
        assert_eq!(names, ["Transfer-Encoding", "Mesos-Stream-Id", "Content-Type"]);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, format!(r#"{{"type":"ERROR","error":{{"message":"{text}"}}}}"#));
    }
    let body = format!(
        r#"{{"type": "SUBSCRIBE", "subscribe": {{"suppressed_roles": ["other"],
          "framework_info": {{"user": "root", "name": "n", {multi}, "roles": ["a"]}}}}}}"#
    );
    let text = "Suppressed role 'other' is not contained in the list of roles";
    let answer = ask(master, "POST", PATH, &[JSON], &body).await;
    assert_eq!(answer.body, format!(r#"{{"type":"ERROR","error":{{"message":"{text}"}}}}"#));
}
