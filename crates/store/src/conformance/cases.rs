//! The one list of cases. It drives the runner and the tests that a backend gets, so that neither can miss one.

use std::future::Future;
use std::pin::Pin;

use crate::conformance::failure::Outcome;
use crate::conformance::world::World;
use crate::conformance::{
    atomicity, attempts, checkpoints, dropping, groups, health, items, leases, limits, operations, payloads,
    peers, races, random, removing, reopening, resubmission, sweeping, tasks, wakeups,
};

/// One thing that every store must do. Its name is the sentence that it shows.
#[derive(Debug)]
pub struct Case {
    name: &'static str,
    theme: &'static str,
    run: for<'h> fn(World<'h>) -> Run<'h>,
}

type Run<'h> = Pin<Box<dyn Future<Output = Outcome> + Send + 'h>>;

impl Case {
    /// Its name: a sentence in `snake_case`, unique in the suite.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Its name as a sentence.
    pub fn title(&self) -> String {
        self.name.replace('_', " ")
    }

    /// What it is about: the file that holds it.
    pub const fn theme(&self) -> &'static str {
        self.theme
    }

    pub(super) fn start<'h>(&self, world: World<'h>) -> Run<'h> {
        (self.run)(world)
    }
}

/// The list. Calls a macro with whatever it is given, and all cases behind it, by theme.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_conformance_case {
    ($callback:path, $given:tt) => {
        $callback! {
            $given
            tasks {
                a_created_task_is_read_back_whole
                a_task_id_means_one_kind_and_one_input
                a_finished_task_keeps_its_end_and_its_result
                nothing_is_added_to_a_task_that_is_not_there_or_has_ended
            }
            items {
                an_enqueued_item_is_read_back_whole
                an_item_id_means_one_task_kind_priority_and_number_of_attempts
                items_are_claimed_by_priority_then_time_then_id
                a_delayed_item_is_claimed_when_its_time_has_come_and_not_before
                a_claim_takes_no_more_than_its_limit
                a_claim_that_takes_nothing_is_applied_and_leaves_no_trace
                a_claimed_item_shows_its_lease_and_counts_the_attempt
                a_claimed_item_is_not_claimed_again
                a_claim_takes_only_the_kinds_and_the_task_it_asks_for
                a_cancelled_item_fences_its_holder_off
                a_dead_letter_is_requeued_with_all_its_attempts
                items_of_an_ended_task_are_called_off_and_never_claimed
                a_claim_gets_past_any_number_of_items_of_ended_tasks
                the_reason_of_a_settlement_is_kept_up_to_its_limit
            }
            leases {
                a_stale_fence_is_rejected_with_every_effect_it_guards
                a_guard_without_its_lease_is_rejected
                every_claim_and_every_reclaim_grows_the_fence
                a_heartbeat_never_revives_a_reclaimed_lease
                a_lease_is_reclaimed_at_its_term_and_not_a_millisecond_before
                a_lease_past_its_term_holds_until_it_is_reclaimed
                a_renewal_moves_the_deadline_and_never_shortens_it
                a_step_of_the_wall_clock_moves_no_lease
                a_settled_lease_is_over
                a_guard_ends_with_the_settlement_in_its_own_batch
            }
            attempts {
                a_retried_item_waits_and_is_a_dead_letter_when_its_attempts_are_used_up
                a_released_item_does_not_count_the_attempt
                a_reclaimed_item_is_a_dead_letter_when_its_attempts_are_used_up
                an_item_given_up_is_a_dead_letter_whatever_attempts_are_left
            }
            sweeping {
                a_sweep_leaves_an_error_boundary_in_the_same_commit
                a_sweep_cancels_the_items_of_a_finished_task
                a_sweep_takes_the_oldest_deadlines_first_and_keeps_to_its_page
                a_sweep_sees_what_its_own_batch_did_before
                a_sweep_of_several_tasks_leaves_each_its_own_boundaries
            }
            checkpoints {
                sequence_numbers_are_dense_and_links_recompute
                an_appended_checkpoint_is_read_back_whole
                an_append_to_another_head_than_expected_is_rejected
                a_checkpoint_id_means_one_checkpoint
                pages_of_checkpoints_run_both_ways
                the_latest_verification_counts
            }
            payloads {
                payloads_come_back_byte_for_byte
                a_payload_of_the_largest_size_comes_back
                an_empty_payload_is_not_the_lack_of_one
                a_page_of_large_payloads_ends_early_and_the_next_goes_on
            }
            operations {
                an_operation_is_begun_finished_and_read_back
                an_operation_for_a_task_that_is_not_there_is_rejected
                the_same_key_with_another_fingerprint_is_a_conflict
                an_operation_is_in_flight_until_its_term_ends_and_then_retaken
                an_operation_under_a_lease_is_owned_as_long_as_the_lease
                an_operation_is_retaken_at_once_after_its_lease_was_lost
                an_abandoned_operation_declared_doubtful_is_not_run_again
                a_late_result_settles_the_doubt
                a_finished_operation_never_changes
                an_operation_that_its_owner_abandons_is_in_doubt_or_free_as_declared
                an_operation_that_did_not_happen_is_begun_at_once
                no_operation_is_begun_for_a_task_that_has_ended
                an_operation_cannot_be_in_doubt_while_it_is_owned
                ending_an_operation_asks_for_its_key_and_its_newest_token
                pages_of_operations_run_in_the_order_of_their_keys
            }
            atomicity {
                a_rejection_at_the_last_command_leaves_nothing_of_the_first
                a_rejection_names_the_first_command_that_does_not_hold
                each_command_sees_the_ones_before_it
                two_claims_in_a_batch_share_the_queue
                a_batch_of_the_largest_size_is_applied_whole
                both_durability_classes_are_applied_and_read
                an_empty_batch_is_applied_and_changes_nothing
            }
            resubmission {
                an_applied_batch_submitted_again_answers_the_same_and_applies_nothing
                every_settlement_submitted_again_answers_the_same
                a_batch_whose_rows_moved_on_since_is_superseded
                a_settlement_is_recognised_until_the_next_one
                a_claim_submitted_again_names_the_items_it_still_holds
                a_claim_or_sweep_whose_items_all_moved_on_is_evaluated_anew
                a_sweep_submitted_again_tells_nothing_of_what_was_called_off_since
                a_batch_that_was_not_applied_is_evaluated_anew
                a_repeated_identity_inside_one_batch_is_rejected
                a_result_recorded_alone_may_be_named_again_beside_a_new_checkpoint
                a_stale_batch_is_not_taken_for_applied_because_its_result_was_recorded
                the_commit_of_checkpoint_result_and_settlement_is_recognised_whole
                the_commit_of_a_fenced_off_holder_is_rejected_whole_every_time
                a_beginning_submitted_again_after_its_lease_or_term_ended_gives_no_right_to_call
                a_result_recorded_alone_does_not_make_what_stands_beside_it_look_applied
                a_guarded_batch_of_which_everything_stands_is_recognised_after_the_lease_was_lost
                a_creation_that_is_there_already_says_nothing_of_the_rest
                commands_without_an_identity_are_recognised_by_the_others
            }
            limits {
                ids_and_keys_at_their_limit_are_kept_and_longer_ones_refused
                names_of_any_text_are_kept_as_they_are
                a_payload_over_the_limit_is_refused
                a_batch_is_bounded_in_commands
                a_batch_is_bounded_in_payload_bytes
                pages_claims_and_sweeps_are_bounded_in_rows
                a_page_of_the_most_rows_is_full
                terms_delays_and_attempts_at_their_bounds
                an_operation_whose_lease_is_not_its_guard_is_refused
            }
            dropping {
                a_dropped_commit_is_applied_whole_or_not_at_all
                a_burst_of_dropped_commits_tears_nothing
            }
            groups {
                a_batch_is_answered_for_itself_whatever_its_neighbours_do
                the_same_batch_submitted_many_times_at_once_is_applied_once
            }
            peers {
                a_peer_sees_what_was_acknowledged_at_once
                a_peer_recognises_what_the_other_has_applied
                ids_made_early_and_appended_late_are_known_to_every_handle
                a_fence_given_out_by_one_handle_counts_on_the_other
                two_handles_append_to_one_chain_in_turns
                a_peer_that_closes_leaves_the_others_at_work
            }
            races {
                two_peers_never_claim_the_same_item
                appends_of_two_peers_to_one_task_leave_a_dense_chain
                sweepers_on_two_peers_reclaim_each_lease_once
                an_operation_begun_by_many_at_once_has_one_owner
                a_settlement_and_a_sweep_at_the_same_time_have_one_winner
                a_reader_sees_all_of_a_batch_or_nothing
            }
            wakeups {
                a_commit_wakes_a_waiter
                a_peers_commit_wakes_a_waiter
                no_wake_up_is_lost_between_stamp_and_wait
                many_waiters_are_all_woken
                a_wait_ends_at_its_limit
            }
            reopening {
                what_was_acknowledged_is_there_after_reopening
                a_relaxed_commit_is_there_after_reopening
                a_commit_right_before_reopening_is_there
                fences_keep_growing_over_a_reopening
                chains_go_on_over_a_reopening
                a_batch_is_recognised_after_reopening
                time_goes_on_over_a_reopening
                a_peer_sees_what_was_there_before_it
            }
            removing {
                pruning_keeps_the_newest_and_the_chain_says_so
                pruning_never_drops_the_newest_verified_checkpoint
                pruning_keeps_the_newest_verified_state_past_erased_ones_and_boundaries
                an_erased_payload_is_gone_with_its_copies_and_the_chain_still_verifies
                copies_are_erased_though_their_origin_was_pruned
                only_finished_operations_are_purged_the_oldest_first
                the_outcomes_of_a_task_that_goes_on_are_not_purged
                an_invalidated_outcome_is_begun_anew
                an_outcome_past_its_freshness_is_begun_anew_in_its_place
                a_removal_stands_alone_in_its_batch_and_within_bounds
            }
            health {
                monitoring_answers_what_operators_ask
                pages_of_items_and_tasks_run_in_the_order_of_their_ids
                an_empty_store_counts_nothing
                health_counts_what_is_there
                a_store_runs_in_the_environment_it_was_given
            }
            random {
                random_sequences_answer_as_the_reference_does
            }
        }
    };
}

macro_rules! listed {
    ({} $($theme:ident { $($name:ident)+ })+) => {
        /// Every case of the suite, in the order in which [`run`](crate::conformance::run) takes them.
        pub const CASES: &[Case] = &[
            $($(Case { name: stringify!($name), theme: stringify!($theme), run: |world| Box::pin($theme::$name(world)) },)+)+
        ];
    };
}

for_each_conformance_case!(listed, {});

/// Makes one `#[tokio::test]` for each case of the suite, named as the case, each on a multi-thread runtime of its
/// own. Give it an expression that makes a [`Harness`](crate::conformance::Harness); it is evaluated in each test.
/// Use it once in a module; the crate that uses it needs `tokio` with the features `macros` and `rt-multi-thread`.
///
/// ```
/// # use std::sync::Arc;
/// # use async_trait::async_trait;
/// # use steadfast_store::conformance::{Harness, Instance};
/// # use steadfast_store::env::Env;
/// # use steadfast_store::{MemoryStore, Source, Store};
/// # struct MyHarness;
/// # struct Opened(Arc<MemoryStore>);
/// # #[async_trait]
/// # impl Harness for MyHarness {
/// #     async fn create(&self, env: Env) -> Result<Box<dyn Instance>, Source> {
/// #         Ok(Box::new(Opened(MemoryStore::new(env).into())))
/// #     }
/// # }
/// # #[async_trait]
/// # impl Instance for Opened {
/// #     fn store(&self) -> Arc<dyn Store> {
/// #         self.0.clone()
/// #     }
/// #     async fn reopen(&mut self) -> Result<(), Source> {
/// #         Ok(())
/// #     }
/// #     async fn peer(&self) -> Result<Arc<dyn Store>, Source> {
/// #         Ok(Arc::new(self.0.peer()))
/// #     }
/// # }
/// mod my_backend {
///     use super::MyHarness;
///
///     steadfast_store::conformance::conformance_tests!(MyHarness);
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($harness:expr $(,)?) => {
        $crate::for_each_conformance_case!($crate::conformance_test_functions, { $harness });
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! conformance_test_functions {
    ({ $harness:expr } $($theme:ident { $($name:ident)+ })+) => {
        $($(
            #[::tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                if let Err(failure) = $crate::conformance::run_case(&$harness, stringify!($name)).await {
                    panic!("{failure}");
                }
            }
        )+)+
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_a_sentence_of_its_own() {
        let names: BTreeSet<_> = CASES.iter().map(Case::name).collect();
        assert_eq!(names.len(), CASES.len(), "a name was given twice");
        assert!(CASES.iter().all(|case| case.title().split(' ').count() >= 3), "a name is no sentence");
    }
}
