//! The catalog on both databases: every case is a plain async function, and runs on SQLite and on PostgreSQL.

mod archives;
mod claims;
mod contents;
mod decisions;
mod directory;
mod endings;
mod ground;
mod resources;
mod rows;
#[path = "../support/mod.rs"]
mod support;
mod uploads;

/// Makes of each case two tests.
macro_rules! on_both {
    ($($module:ident: $($case:ident),* $(,)?;)*) => {
        mod sqlite {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $case() -> anyhow::Result<()> {
                    let ground = crate::ground::Ground::sqlite().await?;
                    crate::$module::$case(&ground).await
                }
            )*)*
        }
        mod postgres {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $case() -> anyhow::Result<()> {
                    let ground = crate::ground::Ground::postgres().await?;
                    crate::$module::$case(&ground).await
                }
            )*)*
        }
    };
}

on_both! {
    resources:
        sites_are_made_once, courses_page_by_id, courses_are_found_by_what_they_are_called, live_revision_is_guarded, sites_are_changed,
        archives_are_deleted_and_undeleted_by_version, form_digests_never_change, requests_are_remembered_once,
        outbox_keeps_order_until_flushed, nothing_is_true_before_commit, a_chore_is_done_once;
    archives:
        archives_page_without_gaps_or_doubles, every_order_pages_without_gaps_or_doubles,
        filters_mean_the_same_as_in_memory, viewers_see_what_the_table_says, texts_are_bound_and_mind_case;
    decisions:
        holds_keep_archives, descriptions_are_guarded, shares_end_by_the_clock, sharing_waits_for_its_turn;
    directory:
        new_ids_are_given_once, accounts_are_written_and_listed, names_are_unique_and_change_hands,
        look_ups_find_all_that_matches, many_users_are_looked_up_at_once,
        roles_are_replaced_and_the_platform_is_kept;
    claims:
        many_workers_take_each_job_once, urgent_jobs_first_then_the_idle_site, one_collection_of_a_site_at_a_time, jobs_wait_until_due,
        expired_leases_are_taken_over, exclusive_jobs_run_alone, exclusive_jobs_never_overlap_under_contention,
        second_exclusive_job_is_refused, leases_are_handed_over, damaged_jobs_do_not_block_the_queue;
    endings:
        stale_tokens_are_refused_everywhere, cancelled_jobs_cannot_succeed, cancel_and_succeed_race_has_one_winner,
        waiting_jobs_are_cancelled_at_once, failed_jobs_wait_and_can_be_retried, jobs_page_without_gaps_or_doubles;
    uploads:
        one_writer_at_a_time, parts_follow_each_other, sessions_move_along_their_states, idle_sessions_expire;
    contents:
        many_contents_at_once, forms_are_found_and_located, storage_use_counts_everything_once;
    rows:
        bad_cells_are_named, unknown_rows_are_not_found, catalogs_open_twice, clocks_agree;
}
