//! Which call the present task works for, so that what it asks for can be followed: the jobs it makes carry its trace.

use crate::trace::TraceContext;

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// Runs something as a step of a trace.
pub async fn within<F: Future>(context: TraceContext, running: F) -> F::Output {
    CURRENT.scope(context, running).await
}

/// The trace of the call or job that this task works for.
pub fn current() -> Option<TraceContext> {
    CURRENT.try_with(|context| *context).ok()
}

/// The step that begins now, of the given trace or of a new one.
pub fn next(parent: Option<TraceContext>) -> TraceContext {
    let random = uuid::Uuid::new_v4().as_u128();
    parent.map_or_else(|| TraceContext::begin(random), |parent| parent.child(random))
}
