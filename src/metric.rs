//! What the service counts and measures: names, labels and meanings, as one table. docs/metrics.md, the dashboard and the
//! alerts are held to it by tests; modules record by these names only.

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from 0 at the start of the process.
    Counter,
    /// A value as it is now.
    Gauge,
    /// Seconds, in buckets.
    Histogram,
}

/// A metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name, with its unit.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// Upper bounds of the histograms' buckets, in seconds.
pub const BUCKETS: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 60.0, 600.0, 3600.0];

macro_rules! metrics {
    ($($constant:ident = $name:literal, $kind:ident, [$($label:literal),*], $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: &str = $name;)*

        /// All metrics, in the order of the documentation.
        pub const ALL: &[Metric] = &[$(
            Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help }
        ),*];
    };
}

metrics! {
    BUILD_INFO = "coursevault_build_info", Gauge, ["version"],
        "Always 1; tells the version.";
    HEALTH = "coursevault_service_serving", Gauge, ["service"],
        "Whether a service is SERVING, as its gRPC health says: 1 or 0.";
    RPCS = "coursevault_rpcs_total", Counter, ["method", "code"],
        "Calls that ended, by method and gRPC code; those of methods that do not exist are `unknown`.";
    RPC_SECONDS = "coursevault_rpc_seconds", Histogram, ["method"],
        "From the first byte of a call to the last of its answer, streams included.";
    RPCS_OPEN = "coursevault_rpcs_open", Gauge, [],
        "Calls that have not ended.";
    UPLOADED_BYTES = "coursevault_uploaded_bytes_total", Counter, [],
        "Bytes of archives that callers sent, before anything is known of them.";
    DOWNLOADED_BYTES = "coursevault_downloaded_bytes_total", Counter, [],
        "Bytes of archives and courses that were sent to callers.";
    JOBS = "coursevault_jobs", Gauge, ["kind", "state"],
        "Jobs that have not ended, of all sites.";
    QUEUE_AGE = "coursevault_queue_age_seconds", Gauge, [],
        "For how long the job that waits longest has been due; 0 when none waits.";
    JOBS_ENDED = "coursevault_jobs_ended_total", Counter, ["kind", "state"],
        "Jobs that ended in this process.";
    JOB_SECONDS = "coursevault_job_seconds", Histogram, ["kind"],
        "How long one attempt of a job took in this process.";
    ATTEMPTS_FAILED = "coursevault_job_attempts_failed_total", Counter, ["kind", "reason"],
        "Attempts that failed, whether another one followed or not.";
    LEASES_LOST = "coursevault_job_leases_lost_total", Counter, ["kind"],
        "Attempts that were given up because another worker has the job, or may have it.";
    STORAGE_SECONDS = "coursevault_storage_seconds", Histogram, ["storage", "operation"],
        "How long a storage took to answer: `put`, `part`, `complete`, `get`, `list`, `delete`.";
    STORAGE_ERRORS = "coursevault_storage_errors_total", Counter, ["storage", "operation"],
        "Operations of a storage that failed after all retries; `get` of what is not there is none.";
    STORAGE_BYTES = "coursevault_storage_bytes_total", Counter, ["storage", "direction"],
        "Bytes that were written to a storage (`in`) and read from it (`out`).";
    JOURNAL_WAITING = "coursevault_journal_waiting_events", Gauge, [],
        "Facts that are in the catalog and not in the bucket yet, 1000 at most.";
    ARCHIVES = "coursevault_archives", Gauge, ["site", "storage"],
        "Archives that are not deleted.";
    LOGICAL_BYTES = "coursevault_logical_bytes", Gauge, ["site", "storage"],
        "Uncompressed bytes of all archives and revisions together, as if each were kept by itself.";
    CONTENT_BYTES = "coursevault_content_bytes", Gauge, ["site", "storage"],
        "Uncompressed bytes of different contents; logical bytes divided by these is the deduplication.";
    STORED_BYTES = "coursevault_stored_bytes", Gauge, ["site", "storage"],
        "Bytes of packs in the storage: what is paid for.";
    COURSES = "coursevault_courses", Gauge, ["site"],
        "Courses that are not deleted and have a state.";
    COURSES_UNSAVED = "coursevault_courses_without_current_backup", Gauge, ["site"],
        "Courses whose live state is newer than their last good backup, or that have none.";
    OLDEST_UNSAVED = "coursevault_unsaved_change_age_seconds", Gauge, ["site"],
        "For how long the oldest change that no good backup holds has been there; 0 when every course is saved.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules_of_prometheus() {
        for metric in ALL {
            let name = metric.name;
            assert!(name.starts_with("coursevault_"), "{name}");
            assert_eq!(metric.kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert!(metric.kind != Kind::Histogram || name.ends_with("_seconds"), "{name}");
            assert_eq!(ALL.iter().filter(|other| other.name == name).count(), 1, "{name}");
        }
    }
}
