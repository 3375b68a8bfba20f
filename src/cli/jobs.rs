//! Jobs: listing, looking, stopping, and following one until it ends.

use tokio_stream::StreamExt;
use tonic::Status;

use super::args::JobAction;
use super::client::{Server, request_id};
use super::failure::JobFailed;
use super::output::Output;
use super::progress::Progress;
use super::retry::{Retries, is_cut};
use super::table::{Column, Table};
use super::words::word;
use super::{json, names, paging, units};
use crate::proto::{self, Job, job::State};

/// `jobs`.
pub async fn run(server: &Server, action: Option<&JobAction>, output: Output) -> anyhow::Result<()> {
    match action {
        None => list(server, proto::ListJobsRequest::default(), output).await,
        Some(JobAction::List { state, kind, course }) => {
            let course = course.as_ref().map(|id| names::course(&server.site, id)).transpose()?;
            let request = proto::ListJobsRequest {
                state: state.map_or(State::Unspecified, State::from).into(),
                kind: kind.map_or(proto::job::Kind::Unspecified, proto::job::Kind::from).into(),
                course: course.map_or_else(String::new, |name| name.to_string()),
                ..Default::default()
            };
            list(server, request, output).await
        }
        Some(JobAction::Show { job }) => {
            let name = names::job(&server.site, job)?.to_string();
            let answer = server.jobs().get_job(proto::GetJobRequest { name }).await?;
            show(&answer.into_inner().job.unwrap_or_default(), output)
        }
        Some(JobAction::Cancel { job, reason }) => {
            let name = names::job(&server.site, job)?.to_string();
            let request = proto::CancelJobRequest { name, reason: reason.clone(), request_id: request_id() };
            let answer = server.jobs().cancel_job(request).await?;
            show(&answer.into_inner().job.unwrap_or_default(), output)
        }
        Some(JobAction::Retry { job }) => {
            let name = names::job(&server.site, job)?.to_string();
            let request = proto::RetryJobRequest { name, request_id: request_id() };
            let answer = server.jobs().retry_job(request).await?;
            show(&answer.into_inner().job.unwrap_or_default(), output)
        }
    }
}

/// `watch`: follows a job, shows how it ended, and fails when it failed.
pub async fn watch(server: &Server, job: &str, output: Output) -> anyhow::Result<()> {
    let name = names::job(&server.site, job)?.to_string();
    let ended = follow(server, &name, output).await?;
    show(&ended, output)?;
    check(&ended)
}

/// Shows a job that was just started; with `wait` follows it to its end first, and fails when it failed.
pub async fn started(server: &Server, job: Option<Job>, wait: bool, output: Output) -> anyhow::Result<()> {
    let job = job.unwrap_or_default();
    if !wait {
        return show(&job, output);
    }
    let ended = follow(server, &job.name, output).await?;
    show(&ended, output)?;
    check(&ended)
}

/// Waits until a job ends and shows how far it is. Survives cut connections.
pub async fn follow(server: &Server, name: &str, output: Output) -> anyhow::Result<Job> {
    let progress = Progress::bytes(output, names::short(name), 0);
    let mut retries = Retries::default();
    let mut seen = (0, String::new());
    loop {
        let cut = match server.jobs().watch_job(proto::WatchJobRequest { name: name.to_owned() }).await {
            Err(status) => status,
            Ok(stream) => {
                let mut stream = stream.into_inner();
                loop {
                    let job = match stream.next().await {
                        Some(Ok(message)) => message.job.unwrap_or_default(),
                        Some(Err(status)) => break status,
                        None => break Status::unavailable("the server stopped telling about the job"),
                    };
                    if job.version > seen.0 {
                        retries.moved();
                    }
                    tell(&job, &progress, &mut seen, output);
                    if has_ended(&job) {
                        return Ok(job);
                    }
                }
            }
        };
        if !is_cut(&cut) {
            return Err(cut.into());
        }
        retries.pause(cut).await?;
    }
}

/// Moves the bar; without one, a line whenever the job is at something else.
fn tell(job: &Job, progress: &Progress, seen: &mut (i64, String), output: Output) {
    seen.0 = seen.0.max(job.version);
    if let Some(at) = &job.progress {
        progress.set_total(u64::try_from(at.bytes_total).unwrap_or(0));
        progress.set(u64::try_from(at.bytes_done).unwrap_or(0));
    }
    progress.phase(&phase(job));
    let at = job.progress.as_ref().map_or("", |at| at.phase.as_str());
    let line = format!("job {} {} {at}", names::short(&job.name), state(job));
    let line = line.trim_end();
    if !output.shows_bars() && seen.1 != line {
        output.note(line);
        line.clone_into(&mut seen.1);
    }
}

/// Whether nothing more happens to a job by itself.
pub fn has_ended(job: &Job) -> bool {
    matches!(job.state(), State::Succeeded | State::Failed | State::Cancelled)
}

/// That a job did not fail.
///
/// # Errors
/// Its problem, when it failed or was cancelled.
pub fn check(job: &Job) -> anyhow::Result<()> {
    let state = match job.state() {
        State::Failed => "failed",
        State::Cancelled => "was cancelled",
        _ => return Ok(()),
    };
    let problem = job.problem.clone().unwrap_or_default();
    Err(JobFailed { name: job.name.clone(), state, problem }.into())
}

/// What a job is at: `reading, 12 of 300`.
pub fn phase(job: &Job) -> String {
    let Some(at) = job.progress.as_ref().filter(|at| !at.phase.is_empty()) else { return state(job) };
    match (at.items_done, at.items_total) {
        (0, 0) => at.phase.clone(),
        (done, 0) => format!("{}, {done}", at.phase),
        (done, total) => format!("{}, {done} of {total}", at.phase),
    }
}

fn state(job: &Job) -> String {
    word(job.state().as_str_name(), "STATE_")
}

async fn list(server: &Server, request: proto::ListJobsRequest, output: Output) -> anyhow::Result<()> {
    let request = proto::ListJobsRequest { parent: server.site_name(), page_size: paging::PAGE, ..request };
    let jobs = paging::all(async |page_token| {
        let request = proto::ListJobsRequest { page_token, ..request.clone() };
        let page = server.jobs().list_jobs(request).await?.into_inner();
        Ok((page.jobs, page.next_page_token))
    })
    .await?;
    if output.is_json() {
        output.document(&serde_json::json!({ "jobs": json::values(&jobs)? }))?;
        return Ok(());
    }
    let mut table = Table::new(&[
        ("JOB", Column::Whole),
        ("KIND", Column::Whole),
        ("STATE", Column::Whole),
        ("COURSE", Column::Text),
        ("REQUESTED", Column::Whole),
        ("AT", Column::Text),
    ]);
    for job in &jobs {
        let at = job.problem.as_ref().map_or_else(|| phase(job), |problem| problem.reason.clone());
        table.row([
            names::short(&job.name).to_owned(),
            word(job.kind().as_str_name(), "KIND_"),
            state(job),
            names::short(&job.course).to_owned(),
            units::time(job.create_time.as_ref()),
            at,
        ]);
    }
    Ok(output.table(&table)?)
}

/// One job with all it tells.
pub fn show(job: &Job, output: Output) -> anyhow::Result<()> {
    if output.is_json() {
        return Ok(output.document(&json::value(job)?)?);
    }
    let result = job.result.clone().unwrap_or_default();
    let mut rows = vec![
        ("job", job.name.clone()),
        ("kind", word(job.kind().as_str_name(), "KIND_")),
        ("state", state(job)),
        ("at", if has_ended(job) { String::new() } else { phase(job) }),
        ("course", job.course.clone()),
        ("source", job.source.clone()),
        ("requested", units::time(job.create_time.as_ref())),
        ("requester", job.requester.clone()),
        ("started", units::time(job.start_time.as_ref())),
        ("next try", units::time(job.next_attempt_time.as_ref())),
        ("ended", units::time(job.end_time.as_ref())),
        ("attempts", if job.attempts > 1 { job.attempts.to_string() } else { String::new() }),
        ("archive", result.archive),
        ("made course", result.course),
        ("revision", result.revision),
    ];
    if let Some(problem) = &job.problem {
        rows.push(("problem", format!("{}: {}", problem.reason, problem.message)));
    }
    for finding in &result.findings {
        rows.push(("finding", super::inspect::finding(finding)));
    }
    output.text(&super::words::rows(&rows))?;
    if result.proof.is_empty() {
        return Ok(());
    }
    let mut proof = Table::new(&[
        ("what of the archive", Column::Whole),
        ("expected", Column::Number),
        ("found", Column::Number),
        ("there before", Column::Number),
        ("why not", Column::Text),
    ]);
    for each in result.proof.into_iter().filter(|each| each.expected > 0) {
        let [expected, found, matched] = [each.expected, each.found, each.matched].map(|it| it.to_string());
        proof.row([each.kind, expected, found, matched, each.reason]);
    }
    Ok(output.text(&proof.render(super::output::width()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_phase_counts_what_is_known() {
        let at = |phase: &str, items_done, items_total| Job {
            state: State::Running.into(),
            progress: Some(proto::JobProgress {
                phase: phase.into(),
                items_done,
                items_total,
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(phase(&at("reading", 12, 300)), "reading, 12 of 300");
        assert_eq!(phase(&at("reading", 12, 0)), "reading, 12");
        assert_eq!(phase(&at("reading", 0, 0)), "reading");
        assert_eq!(phase(&at("", 0, 0)), "running");
    }

    #[test]
    fn only_failed_and_cancelled_jobs_are_failures() {
        for (state, fails) in [
            (State::Pending, false),
            (State::Running, false),
            (State::Succeeded, false),
            (State::Failed, true),
            (State::Cancelled, true),
        ] {
            let job = Job { state: state.into(), ..Default::default() };
            assert_eq!(check(&job).is_err(), fails, "{state:?}");
        }
    }
}
