//! What becomes of offers, and of ACCEPTs on their way.

use super::*;

// ENGINE 2, S65, S106, W4, W51
#[test]
fn nothing_pending() {
    let mut s = Script::new([]);
    let offers: Vec<_> = (0..1000).map(|n| s.make_offer(&format!("a{n}"), "cpus:4;mem:4096")).collect();
    s.offers(offers);
    let declines = s.declines();
    assert_eq!(declines.len(), 1);
    assert_eq!((declines[0].0.len(), declines[0].1), (1000, 3600.0));
    s.sleep(secs(5));
    assert_eq!(s.take(Type::Suppress).len(), 1);
    s.sleep(secs(7200));
    assert!(s.take(Type::Suppress).is_empty() && s.take(Type::Revive).is_empty());
}

// ENGINE 8
#[test]
fn rescind_before_accept() {
    let mut s = Script::new([service("web", 2)]);
    s.disk = Disk::Hangs;
    let (a, b) = (s.make_offer("a1", "cpus:1;mem:32"), s.make_offer("a1", "cpus:1;mem:32"));
    s.offers(vec![a, b]);
    assert_eq!(s.engine.tasks().count(), 2);
    s.rescind("o1");
    assert_eq!(s.declines(), [(vec!["o2".to_string()], 5.0)]);
    assert_eq!(s.spec("web").waiting, 2);
    s.disk = Disk::Writes;
    s.settle();
    assert!(s.accepts().is_empty());
    assert_eq!(s.stored(["inst", "web", "0", "1"]), None);
    // At once, and with new ids.
    let tasks = s.launch("a1", BIG);
    assert_eq!(tasks.iter().map(|task| s.engine.find_task(task).unwrap().generation).collect::<Vec<_>>(), [2, 2]);
}

// ENGINE 9, S103, W20
#[test]
fn rescind_race() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.launch("a1", BIG).remove(0);
    s.rescind("o1");
    assert_eq!(s.state(&task), Some(State::Launching));
    s.master_says(&task, TaskDropped, Reason::InvalidOffers);
    let waits =
        |event: &Event| matches!(event, Event::InstanceWaiting { cause: EndClass::Infra, delay: Duration::ZERO, .. });
    assert_eq!(s.told(waits), 1);
    let next = s.launch("a1", BIG).remove(0);
    assert_eq!(s.engine.find_task(&next).unwrap().generation, 2);
}

/// An ACCEPT is sent, and the connection dies before its answer.
fn accept_cut() -> (Script, String) {
    let mut s = Script::new([service("web", 1)]);
    s.answering = false;
    let task = s.launch("a1", BIG).remove(0);
    s.cut();
    s.answering = true;
    s.clear();
    s.resubscribe();
    assert_eq!(s.state(&task), Some(State::Launching));
    assert_eq!(s.asked(), [&*task]);
    assert!(s.launch("a2", BIG).is_empty(), "while the question is open");
    (s, task)
}

// ENGINE 10 a, S103, W20
#[test]
fn accept_cut_but_it_arrived() {
    let (mut s, task) = accept_cut();
    s.answer(&task, TaskRunning);
    assert_eq!(s.state(&task), Some(State::Running));
    assert!(s.launch("a2", BIG).is_empty());
}

// ENGINE 10 b
#[test]
fn accept_cut_and_lost() {
    let (mut s, task) = accept_cut();
    s.answer(&task, TaskGone);
    assert_eq!(s.state(&task), None);
    assert_eq!(s.launch("a2", BIG).len(), 1);
}

// ENGINE 11, S103
#[test]
fn accept_400() {
    let mut s = Script::new([service("web", 1)]);
    s.answering = false;
    let task = s.launch("a1", BIG).remove(0);
    s.reply(400, "no");
    s.answering = true;
    s.settle();
    assert_eq!(s.state(&task), None);
    assert_eq!(s.spec("web").waiting, 1);
    assert_eq!(s.declines(), [(vec!["o1".to_string()], 5.0)], "it stays with us until it is declined");
    s.resubscribe();
    assert_eq!(s.launch("a1", BIG).len(), 1);
    assert!(!s.asked().contains(&task), "nothing to ask");
}

// S103, W20: no master has looked at it: it waits again, with nothing to ask. That master is none any more, so that its
// offers are nobody's.
#[test]
fn accept_503() {
    for status in [503, 404] {
        let mut s = Script::new([service("web", 1)]);
        s.answering = false;
        let task = s.launch("a1", BIG).remove(0);
        s.reply(status, "");
        s.answering = true;
        s.settle();
        assert_eq!((s.state(&task), s.spec("web").waiting), (None, 1), "{status}");
        assert_eq!(s.stored(["inst", "web", "0", "1"]), None, "{status}");
        s.resubscribe();
        assert!(s.declines().is_empty(), "{status}");
        let next = s.launch("a1", BIG);
        assert_eq!(next.len(), 1, "{status}");
        assert_eq!(s.engine.find_task(&next[0]).unwrap().generation, 2);
        assert!(s.launch("a1", BIG).is_empty(), "{status}");
        assert!(!s.asked().contains(&task), "{status}");
    }
}

// S103, W20: any other 5xx says nothing: the next session asks before anything is launched.
#[test]
fn accept_500() {
    for (answer, again) in [(TaskRunning, 0), (TaskGone, 1)] {
        let mut s = Script::new([service("web", 1)]);
        s.answering = false;
        let task = s.launch("a1", BIG).remove(0);
        s.reply(500, "");
        s.answering = true;
        s.settle();
        assert_eq!(s.state(&task), Some(State::Launching));
        s.resubscribe();
        assert_eq!(s.asked(), [&*task]);
        assert!(s.launch("a2", BIG).is_empty());
        s.answer(&task, answer);
        assert_eq!(s.launch("a2", BIG).len(), again);
    }
}

// ENGINE 56, S131, W53: each is answered once.
#[test]
fn inverse_offers() {
    let mut s = Script::new([service("web", 1)]);
    s.running(1);
    s.answering = false;
    s.inverse_offers(vec![inverse_offer("i1", "a1")]);
    assert_eq!(s.take(Type::DeclineInverseOffers).len(), 1);
    // The master waits for the answer, and doesn't ask again.
    s.not_sent();
    let declines = s.take(Type::DeclineInverseOffers);
    assert_eq!(declines.len(), 1);
    s.reply(202, "");
    let decline = declines[0].decline_inverse_offers.as_ref().unwrap();
    assert_eq!(decline.inverse_offer_ids[0].value, "i1");
    assert_eq!(decline.filters.unwrap().refuse_seconds(), 60.0);
    assert!(s.take(Type::AcceptInverseOffers).is_empty() && s.kills().is_empty());
    assert_eq!(s.told(|e| matches!(e, Event::InverseOffersAnswered { accepted: 0, declined: 1 })), 2);
}

// ENGINE 56, I1: one that is taken back while its answer is under way isn't answered again, whatever becomes of that.
#[test]
fn inverse_offers_that_are_taken_back() {
    let mut s = Script::new([service("web", 1)]);
    s.running(1);
    s.answering = false;
    s.inverse_offers(vec![inverse_offer("i1", "a1")]);
    assert_eq!(s.take(Type::DeclineInverseOffers).len(), 1);
    assert_eq!(s.told(|e| matches!(e, Event::AgentClosing { .. })), 1);
    s.rescind_inverse("i1");
    s.not_sent();
    assert!(s.take(Type::DeclineInverseOffers).is_empty());
    assert_eq!(s.told(|e| matches!(e, Event::AgentClosing { .. })), 1);
}

// ENGINE 56, W53: an agent may go once nothing of ours is there; one that must have no double is, in sight or not, until it
// has ended. Each is answered once.
#[test]
fn inverse_offers_where_duplicates_are_forbidden() {
    let mut s = Script::new([service("web", 1).duplicates(Duplicates::Forbid)]);
    let task = s.running(1).remove(0);
    // The ids and filters of the answers, yes and no.
    let answers = |s: &mut Script| {
        let ids = |ids: Vec<v1::OfferId>| ids.into_iter().map(|id| id.value).collect::<Vec<_>>();
        let yes = s.take(Type::AcceptInverseOffers).into_iter().map(|call| call.accept_inverse_offers.unwrap());
        let yes: Vec<_> = yes.map(|a| (ids(a.inverse_offer_ids), a.filters.unwrap().refuse_seconds())).collect();
        let no = s.take(Type::DeclineInverseOffers).into_iter().map(|call| call.decline_inverse_offers.unwrap());
        let no: Vec<_> = no.map(|d| (ids(d.inverse_offer_ids), d.filters.unwrap().refuse_seconds())).collect();
        (yes, no)
    };
    let answer = |id: &str, secs: f64| (vec![id.to_string()], secs);
    let (mine, empty) = (answer("mine", 60.0), answer("empty", 600.0));
    let come = |s: &mut Script| {
        s.inverse_offers(vec![inverse_offer("mine", "a1"), inverse_offer("empty", "a2")]);
        answers(s)
    };
    assert_eq!(come(&mut s), (vec![empty.clone()], vec![mine.clone()]));
    s.sleep(secs(700));
    assert_eq!(answers(&mut s), (vec![], vec![]), "once");
    s.master_says(&task, TaskUnreachable, Reason::AgentRemoved);
    assert_eq!(come(&mut s), (vec![empty], vec![mine]), "it may be there");
    s.answer(&task, TaskGone);
    assert_eq!(come(&mut s), (vec![(vec!["mine".to_string(), "empty".to_string()], 600.0)], vec![]));
    assert!(s.kills().is_empty());
}

// S108, ENGINE 44, 48: what constraints count is counted as it comes and goes, by revision, and anew for other constraints.
#[test]
fn peers_come_and_go() {
    let spec = |n: &str| service("web", 4).env("N", n).max_per(Field::Hostname, 2).max_surge(Amount::Count(4));
    let mut s = Script::new([spec("1")]);
    let on = |s: &mut Script, agent: &str| s.launch(agent, "cpus:50;mem:5000").len();
    let tasks = s.launch("a1", "cpus:50;mem:5000");
    assert_eq!((tasks.len(), on(&mut s, "a1"), on(&mut s, "a2")), (2, 0, 2));
    for task in s.engine.tasks().map(|task| task.task_id).collect::<Vec<_>>() {
        s.update(&task, TaskRunning);
    }
    s.update(&tasks[0], TaskFinished);
    s.sleep(secs(2));
    assert_eq!(on(&mut s, "a2"), 0);
    let again = s.launch("a1", "cpus:50;mem:5000").remove(0);
    s.update(&again, TaskRunning);
    assert_eq!(on(&mut s, "a1"), 0);
    // The old ones don't stand in the way of the new ones.
    s.engine.apply(spec("2")).unwrap();
    s.tick();
    assert_eq!((on(&mut s, "a1"), on(&mut s, "a1")), (2, 0));
    // Only one each: who is there stays, and counts.
    s.engine.apply(spec("2").unique(Field::Hostname)).unwrap();
    s.tick();
    assert_eq!((on(&mut s, "a1"), on(&mut s, "a2"), on(&mut s, "a2"), on(&mut s, "a3")), (0, 1, 0, 1));
}

// L5: a DECLINE that was refused is made again after a while: its offers are still ours, and an agent's only ones
// (simulated: seed 900000013).
#[test]
fn decline_400() {
    let mut s = Script::new([service("web", 1)]);
    s.answering = false;
    s.offer("a1", "cpus:0.5;mem:32");
    assert_eq!(s.declines(), [(vec!["o1".to_string()], 120.0)]);
    s.reply(400, "no");
    assert!(s.declines().is_empty(), "not at once");
    s.answering = true;
    s.sleep(secs(6));
    assert_eq!(s.declines(), [(vec!["o1".to_string()], 5.0)]);
    assert!(s.take(Type::Revive).is_empty(), "the filters of other offers stand");
    s.sleep(secs(20));
    assert!(s.declines().is_empty());
}

// I21: what could not be sent comes after a REVIVE, maybe, and a long filter would undo that.
#[test]
fn an_unsent_decline_does_not_undo_a_revive() {
    let mut s = Script::new([service("web", 1)]);
    s.answering = false;
    s.offer("a1", "cpus:0.5;mem:32");
    assert_eq!(s.declines(), [(vec!["o1".to_string()], 120.0)]);
    s.not_sent();
    assert_eq!(s.declines(), [(vec!["o1".to_string()], 5.0)]);
}

// I21: an ACCEPT that waited while its process stood still, and offers were asked for before.
#[test]
fn the_rest_of_an_accept_does_not_undo_a_revive() {
    let mut s = Script::new([service("web", 1)]);
    s.disk = Disk::Hangs;
    s.offer("a1", BIG);
    s.engine.apply(service("more", 1)).unwrap();
    s.tick();
    s.sleep(millis(1500));
    assert_eq!(s.take(Type::Revive).len(), 1);
    s.now += secs(60);
    s.disk = Disk::Writes;
    s.confirm();
    s.settle();
    assert_eq!(s.accept().refuse, 5.0);
}

// ENGINE 2.5: what was looked at and fits nowhere is no gate, though others of its spec are of another revision.
#[test]
fn nothing_of_a_former_revision_fits() {
    let of = |version: &str| service("web", 2).env("V", version).max_surge(Amount::Count(0));
    let mut s = Script::new([of("1")]);
    let tasks = s.running(2);
    s.engine.pause("web").unwrap();
    s.engine.apply(of("2")).unwrap();
    s.tick();
    s.update(&tasks[0], TaskFailed);
    s.sleep(secs(20));
    s.clear();
    s.offer("a2", "cpus:0.5;mem:32");
    assert_eq!(s.declines()[0].1, 120.0);
}

// ENGINE 2.5: what doesn't go into one ACCEPT goes into the next one, soon.
#[test]
fn the_rest_of_a_big_agent_comes_back_soon() {
    let mut s = Script::with(config().max_launching_per_agent(1000), [service("web", 300)]);
    s.offer("a1", "cpus:1000;mem:1000000");
    let accept = s.accept();
    assert_eq!((accept.tasks.len(), accept.refuse), (200, 5.0));
    s.offer("a1", "cpus:800;mem:900000");
    assert_eq!(s.accept().tasks.len(), 100);
}

// L5, ENGINE 2.5: and if they are all refused, ever more rarely, until one is taken.
#[test]
fn declines_refused_for_good() {
    let mut s = Script::new([service("web", 1)]);
    s.answering = false;
    s.offer("a1", "cpus:0.5;mem:32");
    let play = |s: &mut Script, time: u64, status: u16| {
        for _ in 0..time {
            while let Some((_, call)) = s.open.front() {
                let status = if call.r#type() == Type::Decline { status } else { 202 };
                s.reply(status, "");
            }
            s.sleep(secs(1));
        }
        (s.declines().len(), s.take(Type::Revive).len())
    };
    let (declines, revives) = play(&mut s, 3600, 400);
    assert!((8..40).contains(&declines) && revives < 20, "{declines} DECLINEs, {revives} REVIVEs");
    play(&mut s, 600, 202);
    s.offer("a1", "cpus:0.5;mem:32");
    assert_eq!(play(&mut s, 2, 400).0, 1);
    assert_eq!(play(&mut s, 8, 202).0, 1, "soon again");
    // What is refused in a session that has ended is over.
    s.offer("a1", "cpus:0.5;mem:32");
    play(&mut s, 2, 400);
    s.cut();
    s.resubscribe();
    assert_eq!(play(&mut s, 600, 202).0, 0);
}
