//! What the framework wants to be: everything that SUBSCRIBE replaces at the master.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::error::{CallError, ConfigError, ConfigProblem};
use crate::checks;
use crate::planted::planted;
use crate::v1;
use v1::framework_info::capability;
use v1::scheduler::{OfferConstraints, call};

/// Kept as desired state and sent in full with every SUBSCRIBE, which replaces all of it at the master.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Profile {
    pub(super) info: v1::FrameworkInfo,
    pub(super) suppressed: BTreeSet<String>,
    pub(super) constraints: Option<OfferConstraints>,
}

impl Profile {
    pub(super) fn new(mut info: v1::FrameworkInfo) -> Self {
        // An empty id counts as none, for the master too.
        info.id = info.id.filter(|id| !id.value.is_empty());
        Self { info, suppressed: BTreeSet::new(), constraints: None }
    }

    pub(super) fn has_role(&self, role: &str) -> bool {
        has_role(&self.info, role)
    }

    /// The framework as another has it, but for the id; a role that it hasn't got can't be suppressed.
    pub(super) fn take_over(&mut self, other: &v1::FrameworkInfo) {
        self.info = v1::FrameworkInfo { id: self.info.id.take(), ..other.clone() };
        self.suppressed.retain(|role| has_role(&self.info, role));
    }

    fn all_roles(&self) -> Vec<String> {
        if multi_role(&self.info) { self.info.roles.clone() } else { [single_role(&self.info).to_string()].into() }
    }

    /// Takes SUPPRESS or REVIVE of these roles (none: all).
    pub(super) fn suppress(&mut self, suppress: bool, roles: &[String]) -> Result<(), CallError> {
        if let Some(stranger) = roles.iter().find(|role| !self.has_role(role)) {
            return Err(CallError::Role(stranger.clone()));
        }
        match (suppress, roles) {
            (true, []) => self.suppressed = self.all_roles().into_iter().collect(),
            (true, _) => self.suppressed.extend(roles.iter().cloned()),
            (false, []) => self.suppressed.clear(),
            (false, _) => self.suppressed.retain(|role| !roles.contains(role)),
        }
        Ok(())
    }

    /// What UPDATE_FRAMEWORK asks for, completed with what may not change, and checked, so that it can be adopted.
    pub(super) fn updated(&self, update: &call::UpdateFramework) -> Result<Self, CallError> {
        let mut info = update.framework_info.clone();
        if info.id.as_ref().is_some_and(|id| !id.value.is_empty() && Some(id) != self.info.id.as_ref()) {
            return Err(CallError::Immutable("the framework's id"));
        }
        if info.principal.is_some() && info.principal != self.info.principal {
            return Err(CallError::Immutable("the principal"));
        }
        if info.user != self.info.user {
            return Err(CallError::Immutable("the user"));
        }
        if info.checkpoint.unwrap_or(false) != self.info.checkpoint.unwrap_or(false) {
            return Err(CallError::Immutable("checkpoint"));
        }
        info.id.clone_from(&self.info.id);
        info.principal.clone_from(&self.info.principal);
        let mut problems = Vec::new();
        check_info(&info, &mut problems);
        for role in &update.suppressed_roles {
            if !has_role(&info, role) {
                problems.push(ConfigProblem::SuppressedRole(role.clone()));
            }
        }
        match ConfigError::from_problems(problems) {
            Some(error) => Err(error.into()),
            None => Ok(Self {
                info,
                suppressed: update.suppressed_roles.iter().cloned().collect(),
                constraints: update.offer_constraints.clone(),
            }),
        }
    }

    /// The call that (re)subscribes.
    pub(super) fn subscribe(&self) -> v1::scheduler::Call {
        v1::scheduler::Call {
            framework_id: self.info.id.clone(),
            r#type: Some(call::Type::Subscribe.into()),
            subscribe: Some(call::Subscribe {
                framework_info: self.info.clone(),
                suppressed_roles: self.suppressed.iter().filter(|_| !planted!(SuppressedDropped)).cloned().collect(),
                offer_constraints: self.constraints.clone(),
            }),
            ..Default::default()
        }
    }

    /// The body of UPDATE_FRAMEWORK.
    pub(super) fn update(&self) -> call::UpdateFramework {
        call::UpdateFramework {
            framework_info: self.info.clone(),
            suppressed_roles: self.suppressed.iter().cloned().collect(),
            offer_constraints: self.constraints.clone(),
        }
    }
}

fn multi_role(info: &v1::FrameworkInfo) -> bool {
    let number = Some(i32::from(capability::Type::MultiRole));
    info.capabilities.iter().any(|c| c.r#type == number)
}

#[allow(deprecated, reason = "the only field that frameworks without MULTI_ROLE have")]
fn single_role(info: &v1::FrameworkInfo) -> &str {
    info.role.as_deref().unwrap_or("*")
}

fn has_role(info: &v1::FrameworkInfo, role: &str) -> bool {
    if multi_role(info) { info.roles.iter().any(|r| r == role) } else { single_role(info) == role }
}

/// What the master would refuse, and what could never work.
#[allow(deprecated, reason = "the field `role` is what is checked")]
pub(super) fn check_info(info: &v1::FrameworkInfo, problems: &mut Vec<ConfigProblem>) {
    // 2^63 nanoseconds, in which the master counts.
    const LONGEST: f64 = 9.2e9;
    if info.name.is_empty() {
        problems.push(ConfigProblem::Name);
    }
    if info.user.is_empty() {
        problems.push(ConfigProblem::User);
    }
    if let Some(Err(error)) = info.id.as_ref().filter(|id| !id.value.is_empty()).map(|id| checks::id(&id.value)) {
        problems.push(ConfigProblem::FrameworkId(error));
    }
    if info.failover_timeout.is_some_and(|t| !(0.0..=LONGEST).contains(&t)) {
        problems.push(ConfigProblem::FailoverTimeout);
    }
    let multi = multi_role(info);
    if (multi && info.role.is_some()) || (!multi && !info.roles.is_empty()) {
        problems.push(ConfigProblem::RoleField);
    }
    if multi && info.roles.is_empty() {
        problems.push(ConfigProblem::NoRole);
    }
    let mut seen = BTreeSet::new();
    for role in info.roles.iter().chain(&info.role) {
        if let Err(fault) = checks::role(role) {
            problems.push(ConfigProblem::Role { role: role.clone(), fault });
        } else if !seen.insert(role) {
            problems.push(ConfigProblem::DuplicateRole(role.clone()));
        }
    }
}
