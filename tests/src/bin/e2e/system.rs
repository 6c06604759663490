//! What is done to the system itself and with sockets (docs/attacks.md, D6, D7).

use anyhow::{Context, Result, ensure};
use recorder_tests::{
    account::Sudo,
    journal::{number, text},
};
use serde_json::Value;

use crate::{changes::holds, stage::Stage};

/// Every act is on record in its order, with what it was given and what came of it.
pub(crate) fn system_and_sockets(stage: &mut Stage) -> Result<()> {
    let oncall = stage.account("oncall", Sudo::Free)?;
    let running = stage.record()?;
    let (dir, truth) = (stage.path(&stage.mark), stage.path("truth"));
    let terminal =
        stage.elevated(&oncall, &[&stage.workload(), "system", "--dir", &dir, "--truth", &truth])?;
    let (status, shown) = terminal.finish(stage.limit(60))?;
    ensure!(status.success(), "the workload ended with {status}: {}", String::from_utf8_lossy(&shown));
    let truth = stage.truth("truth")?;
    let events = stage.finish(running)?;

    let acts = truth.get("acts").and_then(Value::as_array).context("a truth without acts")?;
    for (kinds, object) in [
        (&["mount", "umount", "module", "bpf", "namespace", "kernel"][..], "call"),
        (&["connect", "bind", "listen", "accept"], "socket"),
        (&["setting"], "setting"),
    ] {
        let of_kind = |event: &&Value| kinds.contains(&text(event, &["kind"]));
        let mut recorded = events.0.iter().filter(of_kind);
        for act in acts.iter().filter(of_kind) {
            // Others of the session stand between: what the login's programs say to sockets.
            let found = recorded.find(|event| {
                text(event, &["kind"]) == text(act, &["kind"]) && holds(event.get(object), act.get(object))
            });
            let found = found.with_context(|| format!("not recorded, or not in its order: {act}"))?;
            let target = act.get("target").and_then(Value::as_str);
            ensure!(
                target.is_none_or(|target| found.to_string().contains(target)),
                "{found} does not name {target:?}"
            );
        }
    }
    for sent in truth.get("sends").and_then(Value::as_array).context("nothing was sent")? {
        let (local, remote) = (text(sent, &["local"]), text(sent, &["remote"]));
        let told = || events.of_kind("send").filter(move |e| text(e, &["socket", "remote"]) == remote);
        let sum = |name: &str| told().filter_map(|e| number(e, &["socket", name])).sum::<u64>();
        let is_whole = ["count", "bytes"].iter().all(|name| Some(sum(name)) == number(sent, &[name]));
        ensure!(is_whole, "of {sent} are told {} in {} bytes", sum("count"), sum("bytes"));
        let first = told().next().context("none")?;
        ensure!(number(first, &["socket", "count"]) == Some(1), "the first is not told by itself: {first}");
        ensure!(told().count() <= 4 && told().all(|e| text(e, &["socket", "local"]) == local), "{first}");
    }
    // What only looks changes nothing.
    ensure!(events.of_kind("bpf").count() == 0, "nobody loaded a program");
    Ok(())
}
