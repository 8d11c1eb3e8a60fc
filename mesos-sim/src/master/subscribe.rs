//! SUBSCRIBE and UPDATE_FRAMEWORK: who a framework is, and which stream is its own.

use std::collections::BTreeSet;
use std::time::Duration;

use mesos_proto::v1;
use v1::framework_info::capability::Type as Capability;
use v1::scheduler::{Call, Event, event};

use super::{Effect, Framework, Master, Stream, ToAgent};
use crate::http::{Codec, ExchangeId, Response};
use crate::rng::Rng;

impl Master {
    /// A well-formed SUBSCRIBE. From here on every refusal is 200 with an ERROR event.
    pub(super) fn subscribe(
        &mut self,
        exchange: ExchangeId,
        call: Call,
        codec: Codec,
        principal: Option<String>,
        rng: &mut Rng,
    ) {
        let Some(subscribe) = call.subscribe else { return };
        let mut info = subscribe.framework_info;
        let stream_id = rng.uuid_text();
        let head = Response { status: 200, headers: Vec::new(), body: None }
            .with("Mesos-Stream-Id", stream_id.clone())
            .with("Content-Type", codec.content_type());
        if let (Some(authenticated), Some(given)) = (&principal, &info.principal) {
            if authenticated != given {
                let text = format!(
                    "Authenticated principal '{authenticated}' does not match principal '{given}' set in `FrameworkInfo`"
                );
                return self.respond(exchange, Response::text(400, text));
            }
        }
        info.principal = info.principal.or(principal);
        self.respond(exchange, head);
        if let Err(why) = acceptable(&info, &subscribe.suppressed_roles) {
            return self.send_error(exchange, codec, &why);
        }
        let id = match info.id.as_ref().map(|id| id.value.clone()).filter(|id| !id.is_empty()) {
            Some(id) if self.removed.contains(&id) => {
                return self.send_error(exchange, codec, "Framework has been removed");
            }
            Some(id) => id,
            None => {
                self.next_framework += 1;
                format!("{}-{:04}", self.id, self.next_framework - 1)
            }
        };
        info.id = Some(v1::FrameworkId { value: id.clone() });
        let suppressed: BTreeSet<String> = subscribe.suppressed_roles.into_iter().collect();
        let stream = Stream { exchange, id: stream_id, codec, next_heartbeat: self.now };
        if let Some(known) = self.frameworks.get(&id) {
            if known.info.principal != info.principal {
                return self.send_error(exchange, codec, "Changing framework's principal is not allowed.");
            }
            let old = known.stream.as_ref().map(|stream| (stream.exchange, stream.codec));
            self.replace_info(&id, info, suppressed);
            self.forget_offers(&id);
            self.forget_inverse(&id);
            if let Some((old, codec)) = old {
                self.send_error(old, codec, "Framework failed over");
            }
            if let Some(framework) = self.frameworks.get_mut(&id) {
                framework.stream = Some(stream);
                framework.disconnected_at = None;
            }
        } else {
            let framework =
                Framework { info, stream: Some(stream), suppressed, filters: Vec::new(), disconnected_at: None };
            self.frameworks.insert(id.clone(), framework);
        }
        let event = Event {
            r#type: Some(event::Type::Subscribed.into()),
            subscribed: Some(event::Subscribed {
                framework_id: v1::FrameworkId { value: id.clone() },
                heartbeat_interval_seconds: Some(self.settings.heartbeat_interval.as_secs_f64()),
                master_info: Some(self.info()),
            }),
            ..Default::default()
        };
        self.send(&id, &event);
        for agent in self.agents.keys() {
            self.out.push_back(Effect::ToAgent(agent.clone(), ToAgent::Resend(id.clone())));
        }
        // The first heartbeat comes at once, and what is free is offered soon.
        self.next_allocation = self.next_allocation.min(self.now + Duration::from_millis(10));
    }

    /// Takes over a new FrameworkInfo; user and checkpoint stay as they were.
    fn replace_info(&mut self, id: &str, mut info: v1::FrameworkInfo, suppressed: BTreeSet<String>) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        info.user = framework.info.user.clone();
        info.checkpoint = framework.info.checkpoint;
        let before = framework.roles();
        framework.info = info;
        let roles = framework.roles();
        // A role that is no longer suppressed loses its filters.
        let freed: Vec<String> = framework.suppressed.difference(&suppressed).cloned().collect();
        framework.filters.retain(|filter| !freed.contains(&filter.role) && roles.contains(&filter.role));
        framework.suppressed = suppressed;
        for role in before.iter().filter(|role| !roles.contains(role)) {
            self.rescind(|offer| offer.framework == id && offer.role == *role);
        }
    }

    pub(super) fn update_framework(&mut self, id: &str, update: v1::scheduler::call::UpdateFramework) -> Response {
        let Some(framework) = self.frameworks.get(id) else {
            return Response::text(400, "Framework cannot be found");
        };
        let info = update.framework_info;
        if let Err(why) = acceptable(&info, &update.suppressed_roles) {
            return Response::text(400, format!("Supplied FrameworkInfo is not valid: {why}"));
        }
        let multi = |info: &v1::FrameworkInfo| info.capabilities.iter().any(|c| c.r#type() == Capability::MultiRole);
        let fault = if framework.has(Capability::MultiRole) && !multi(&info) {
            Some("Removing the MULTI_ROLE capability is unsupported")
        } else if info.user != framework.info.user {
            Some("Updating 'FrameworkInfo.user' is unsupported")
        } else if info.checkpoint() != framework.info.checkpoint() {
            Some("Updating 'FrameworkInfo.checkpoint' is unsupported")
        } else if info.principal != framework.info.principal {
            Some("Changing framework's principal is not allowed.")
        } else {
            None
        };
        if let Some(fault) = fault {
            return Response::text(400, format!("FrameworkInfo update is not valid: {fault}"));
        }
        self.replace_info(id, info, update.suppressed_roles.into_iter().collect());
        self.next_allocation = self.next_allocation.min(self.now + Duration::from_millis(10));
        Response::ok()
    }
}

/// Whether the master takes this FrameworkInfo; the error is the text of the ERROR event.
fn acceptable(info: &v1::FrameworkInfo, suppressed: &[String]) -> Result<(), String> {
    let multi = info.capabilities.iter().any(|capability| capability.r#type() == Capability::MultiRole);
    if multi && info.role.is_some() {
        return Err("'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable".into());
    }
    if !multi && !info.roles.is_empty() {
        return Err("'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable".into());
    }
    let roles = if multi { info.roles.clone() } else { vec![info.role.clone().unwrap_or_else(|| "*".into())] };
    for (index, role) in roles.iter().enumerate() {
        valid_role(role).map_err(|why| format!("'FrameworkInfo.roles' contains invalid role: {why}"))?;
        if roles.iter().take(index).any(|other| other == role) {
            return Err(format!("'FrameworkInfo.roles' contains duplicate items: {{ {role} }}"));
        }
    }
    for role in suppressed {
        if !roles.contains(role) {
            return Err(format!("Suppressed role '{role}' is not contained in the list of roles"));
        }
    }
    let timeout = info.failover_timeout();
    if !(timeout.is_finite() && timeout < 9.2e9) {
        return Err(format!("The framework failover_timeout ({}) is invalid", exponent(timeout)));
    }
    Ok(())
}

/// A large number as C++ writes it.
fn exponent(value: f64) -> String {
    format!("{value:e}").replace('e', "e+").replace("e+-", "e-")
}

pub(super) fn valid_role(role: &str) -> Result<(), String> {
    if role == "*" {
        return Ok(());
    }
    if role.is_empty() {
        return Err("Empty role name".into());
    }
    if role.starts_with('/') {
        return Err(format!("Role '{role}' cannot start with a slash"));
    }
    for part in role.split('/') {
        let fault = match part {
            "" => "is empty",
            "." | ".." | "*" => "is not allowed",
            _ if part.starts_with('-') => "is invalid because it starts with a dash",
            _ if part.chars().any(|c| c.is_whitespace() || c == '\u{8}') => "contains whitespace",
            _ => continue,
        };
        return Err(format!("Role component '{part}' {fault}"));
    }
    Ok(())
}
