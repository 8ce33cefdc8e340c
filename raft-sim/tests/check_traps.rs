//! Traps that have bitten real checkers, one test each.
#![allow(clippy::unwrap_used, reason = "the helpers are tests too")]

use raft_sim::check::kv::{Answer, KvHistory, KvModel, Operation, Value, stats};
use raft_sim::check::{
    Budget, Call, FileModel, History, HistoryError, Method, Model, OperationId, ProcessId, Stamp, Verdict,
    check, check_file, export, read_history,
};

const P: [ProcessId; 6] =
    [ProcessId(0), ProcessId(1), ProcessId(2), ProcessId(3), ProcessId(4), ProcessId(5)];

fn call(history: &mut KvHistory, process: usize, operation: Operation) -> OperationId {
    history.invoke_next(P[process], operation).unwrap()
}

/// One operation that returns before anything else happens.
fn done(history: &mut KvHistory, process: usize, operation: Operation, answer: Answer) {
    let id = call(history, process, operation);
    history.ok_next(id, answer).unwrap();
}

fn put(history: &mut KvHistory, process: usize, value: &str) {
    done(history, process, Operation::put("k", value), Answer::done());
}

fn get(history: &mut KvHistory, process: usize, value: Option<&str>) {
    done(history, process, Operation::get("k"), Answer::got(value));
}

fn cas(expected: &str, new: &str) -> Operation {
    Operation::compare_and_set("k", Some(expected.into()), new)
}

fn verdict(history: &KvHistory) -> Verdict {
    check(KvModel::new(), history, Budget::default()).verdict
}

fn legal(history: &KvHistory) -> bool {
    let verdict = verdict(history);
    assert!(!matches!(verdict, Verdict::Unknown { .. }));
    verdict.is_linearizable()
}

#[test]
fn an_empty_history_is_linearizable() {
    assert!(legal(&KvHistory::new()));
}

#[test]
fn a_read_that_sees_a_pending_write_and_then_the_old_value_again_is_illegal() {
    // "Legal and changes nothing here, so take it now" is unsound for writes when values repeat: the pending
    // put "a" must be kept for after put "b".
    let mut history = KvHistory::new();
    put(&mut history, 0, "a");
    let again = call(&mut history, 1, Operation::put("k", "a"));
    put(&mut history, 0, "b");
    get(&mut history, 0, Some("b"));
    get(&mut history, 0, Some("a"));
    assert!(legal(&history));
    history.ok_next(again, Answer::done()).unwrap();
    assert!(legal(&history));
    get(&mut history, 0, Some("b"));
    assert!(!legal(&history));
}

#[test]
fn a_write_that_nobody_reads_is_not_hidden_in_front_of_a_compare_and_set() {
    let mut history = KvHistory::new();
    put(&mut history, 0, "a");
    let unread = call(&mut history, 1, Operation::put("k", "x"));
    done(&mut history, 0, cas("a", "b"), Answer::done());
    get(&mut history, 0, Some("b"));
    history.ok_next(unread, Answer::done()).unwrap();
    assert!(legal(&history));
}

#[test]
fn a_write_that_nobody_reads_explains_a_failed_compare_and_set() {
    let mut history = KvHistory::new();
    put(&mut history, 0, "a");
    let unread = call(&mut history, 1, Operation::put("k", "x"));
    done(&mut history, 0, cas("a", "b"), Answer::MismatchUnseen);
    let second = call(&mut history, 2, Operation::put("k", "a"));
    history.ok_next(second, Answer::done()).unwrap();
    get(&mut history, 0, Some("a"));
    history.ok_next(unread, Answer::done()).unwrap();
    assert!(legal(&history));
}

#[test]
fn a_failed_compare_and_set_is_still_a_read() {
    let mut history = KvHistory::new();
    put(&mut history, 0, "a");
    done(&mut history, 0, cas("a", "b"), Answer::MismatchUnseen);
    assert!(!legal(&history));
}

#[test]
fn a_call_without_a_return_is_not_a_return() {
    let mut history = KvHistory::new();
    let lost = call(&mut history, 1, Operation::put("k", "x"));
    history.unknown(lost).unwrap();
    get(&mut history, 0, None);
    assert!(legal(&history), "it may happen never");
    get(&mut history, 0, Some("x"));
    assert!(legal(&history), "or late");
    get(&mut history, 0, None);
    assert!(!legal(&history), "but only once");
}

#[test]
fn an_unknown_compare_and_set_has_three_futures() {
    let start = |last: Option<&str>| {
        let mut history = KvHistory::new();
        put(&mut history, 0, "a");
        let lost = call(&mut history, 1, cas("a", "b"));
        history.unknown(lost).unwrap();
        get(&mut history, 0, last);
        history
    };
    assert!(legal(&start(Some("b"))), "it succeeded");
    assert!(legal(&start(Some("a"))), "it failed, or it is still to come");
    let mut late = start(Some("a"));
    get(&mut late, 0, Some("b"));
    assert!(legal(&late));
    let mut spent = start(Some("b"));
    put(&mut spent, 0, "a");
    get(&mut spent, 0, Some("b"));
    assert!(!legal(&spent));
}

#[test]
fn a_read_that_timed_out_says_nothing() {
    let mut history = KvHistory::new();
    put(&mut history, 0, "a");
    let lost = call(&mut history, 1, Operation::get("k"));
    history.unknown(lost).unwrap();
    get(&mut history, 0, Some("a"));
    assert!(legal(&history));
}

#[test]
fn a_write_that_certainly_failed_explains_nothing() {
    let mut history = KvHistory::new();
    let failed = call(&mut history, 1, Operation::put("k", "x"));
    history.fail(failed).unwrap();
    get(&mut history, 0, Some("x"));
    assert!(!legal(&history));
}

#[test]
fn equal_times_are_concurrent() {
    let at = |later: u64| {
        let mut history = KvHistory::new();
        let put = history.invoke(P[0], Operation::put("k", "a"), Stamp::at(1)).unwrap();
        history.ok(put, Answer::done(), Stamp::at(2)).unwrap();
        let get = history.invoke(P[1], Operation::get("k"), Stamp::at(later)).unwrap();
        history.ok(get, Answer::got(None), Stamp::at(4)).unwrap();
        history
    };
    assert!(legal(&at(2)));
    assert!(!legal(&at(3)));
}

#[test]
fn a_sequence_orders_events_of_one_time() {
    let mut history = KvHistory::new();
    let put = history.invoke(P[0], Operation::put("k", "a"), Stamp { time: 1, sequence: 0 }).unwrap();
    history.ok(put, Answer::done(), Stamp { time: 1, sequence: 1 }).unwrap();
    let get = history.invoke(P[1], Operation::get("k"), Stamp { time: 1, sequence: 2 }).unwrap();
    history.ok(get, Answer::got(None), Stamp { time: 1, sequence: 3 }).unwrap();
    assert!(!legal(&history));
}

#[test]
fn absent_empty_and_zero_differ() {
    let values = [None, Some(""), Some("0")];
    for written in values {
        for read in values {
            let mut history = KvHistory::new();
            match written {
                Some(value) => put(&mut history, 0, value),
                None => done(&mut history, 0, Operation::delete("k"), Answer::done()),
            }
            get(&mut history, 1, read);
            assert_eq!(legal(&history), written == read, "{written:?} {read:?}");
        }
    }
}

#[test]
fn impossible_events_are_input_errors_and_never_verdicts() {
    let mut history = KvHistory::new();
    let id = history.invoke(P[0], Operation::get("k"), Stamp::at(5)).unwrap();
    let early = history.ok(id, Answer::got(None), Stamp::at(4));
    assert!(matches!(early, Err(HistoryError::ReturnBeforeCall { .. })));
    let second = history.invoke(P[0], Operation::get("k"), Stamp::at(6));
    assert!(matches!(second, Err(HistoryError::TwoOpenCalls { .. })));
    history.ok(id, Answer::got(None), Stamp::at(7)).unwrap();
    assert!(matches!(history.fail(id), Err(HistoryError::EndedTwice { .. })));
    let back = history.invoke(P[0], Operation::get("k"), Stamp::at(6));
    assert!(matches!(back, Err(HistoryError::ClockWentBack { .. })));
    let lost = history.invoke(P[0], Operation::get("k"), Stamp::at(8)).unwrap();
    history.unknown(lost).unwrap();
    let reused = history.invoke(P[0], Operation::get("k"), Stamp::at(9));
    assert!(matches!(reused, Err(HistoryError::ProcessReused { .. })));
    assert!(matches!(KvHistory::new().fail(lost), Err(HistoryError::NoSuchOperation { .. })));
}

#[test]
fn a_hard_key_does_not_hide_an_easy_violation_and_unknown_is_no_pass() {
    let hard = |history: &mut KvHistory| {
        // Anonymous compare-and-sets on one key that all overlap: many orders, none of them right.
        let open: Vec<OperationId> = (0..18u64)
            .map(|n| {
                let operation = Operation::increment("hard", 1 << n);
                history.invoke_next(ProcessId(100 + n), operation).unwrap()
            })
            .collect();
        for id in open {
            history.unknown(id).unwrap();
        }
        done(history, 0, Operation::get("hard"), Answer::got(Some("-1")));
    };
    let mut history = KvHistory::new();
    hard(&mut history);
    let budget = Budget { configurations: 20_000 };
    let report = check(KvModel::new(), &history, budget);
    assert!(matches!(&report.verdict, Verdict::Unknown { partition, .. } if partition == "hard"), "{report}");
    assert_eq!(report.verdict.exit_code(), 9);
    done(&mut history, 0, Operation::put("z-easy", "0"), Answer::done());
    done(&mut history, 0, Operation::increment("z-easy", 1), Answer::sum(3));
    let report = check(KvModel::new(), &history, budget);
    assert_eq!(report.verdict.violation().map(|found| found.part.as_str()), Some("z-easy"), "{report}");
}

#[test]
fn unique_values_are_decided_by_zones_and_repeated_ones_are_not() {
    let mut history = KvHistory::new();
    put(&mut history, 0, "a");
    put(&mut history, 0, "b");
    let method = |history: &KvHistory| check(KvModel::new(), history, Budget::default()).parts[0].method;
    assert_eq!(method(&history), Method::Zones);
    put(&mut history, 0, "a");
    assert_eq!(method(&history), Method::Search);
}

#[test]
fn versions_tell_equal_values_apart() {
    let versioned = |value: &str, version| Answer::Got { value: Some(value.into()), version: Some(version) };
    let mut history = KvHistory::new();
    done(&mut history, 0, Operation::put("k", "a"), Answer::Done { version: Some(1) });
    done(&mut history, 0, Operation::delete("k"), Answer::Done { version: Some(2) });
    done(&mut history, 0, Operation::put("k", "a"), Answer::Done { version: Some(3) });
    done(&mut history, 1, Operation::get("k"), versioned("a", 3));
    let report = check(KvModel::new(), &history, Budget::default());
    assert!(report.verdict.is_linearizable());
    assert_eq!(report.parts[0].method, Method::Zones);
    done(&mut history, 1, Operation::get("k"), versioned("a", 1));
    assert!(!legal(&history));
}

#[test]
fn the_counts_show_whether_a_history_proves_anything() {
    let mut history = KvHistory::new();
    put(&mut history, 0, "a");
    get(&mut history, 0, Some("a"));
    let lost = call(&mut history, 1, Operation::put("k", "b"));
    get(&mut history, 2, Some("a"));
    history.unknown(lost).unwrap();
    let failed = call(&mut history, 2, Operation::put("k", "c"));
    history.fail(failed).unwrap();
    let stats = stats(&history);
    assert_eq!((stats.operations, stats.ok, stats.failed, stats.pending), (5, 3, 1, 1));
    assert_eq!((stats.concurrency_max, stats.reads_of_others), (2, Some(1)));
}

/// A bank of two accounts: a user's own model, with operations that touch several parts.
struct Bank;

impl Model for Bank {
    type Operation = (char, char, u32);
    type Answer = Option<(u32, u32)>;
    type State = std::collections::BTreeMap<char, u32>;
    type Part = char;

    fn parts(&self, operation: &Self::Operation) -> Vec<char> {
        vec![operation.0, operation.1]
    }

    fn initial(&self) -> Self::State {
        ('a'..='d').map(|account| (account, 10)).collect()
    }

    /// Moves money; moving 0 also answers both balances.
    fn step(&self, state: &mut Self::State, call: Call<'_, Self::Operation, Self::Answer>) -> bool {
        let (from, to, amount) = *call.operation;
        if let Some(Some((first, second))) = call.answer {
            return state[&from] == *first && state[&to] == *second;
        }
        let Some(left) = state[&from].checked_sub(amount) else { return false };
        state.insert(from, left);
        *state.entry(to).or_default() += amount;
        true
    }

    fn describe(&self, call: Call<'_, Self::Operation, Self::Answer>) -> String {
        format!("{:?} -> {:?}", call.operation, call.answer)
    }
}

#[test]
fn a_model_with_operations_on_several_parts_is_checked_by_connected_components() {
    let mut history = History::new();
    let step = |history: &mut History<_, _>, operation, answer| {
        let id = history.invoke_next(P[0], operation).unwrap();
        history.ok_next(id, answer).unwrap();
    };
    step(&mut history, ('a', 'b', 3), None);
    step(&mut history, ('c', 'd', 1), None);
    step(&mut history, ('a', 'b', 0), Some((7, 13)));
    let report = check(Bank, &history, Budget::default());
    assert!(report.verdict.is_linearizable());
    let names: Vec<&str> = report.parts.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(names, ["a, b", "c, d"]);
    step(&mut history, ('d', 'c', 0), Some((10, 10)));
    let report = check(Bank, &history, Budget::default());
    assert_eq!(report.verdict.violation().map(|found| found.part.as_str()), Some("c, d"));
}

#[test]
fn our_own_format_keeps_everything() {
    let mut history = KvHistory::new();
    put(&mut history, 0, "a \"quoted\"\nline");
    done(&mut history, 1, Operation::delete("k"), Answer::Done { version: Some(4) });
    done(&mut history, 1, cas("a", "b"), Answer::Mismatch { saw: None, version: Some(4) });
    done(&mut history, 1, cas("a", "b"), Answer::MismatchUnseen);
    done(&mut history, 1, Operation::increment("k", -2), Answer::sum(-2));
    done(&mut history, 1, Operation::append("k", ""), Answer::done());
    get(&mut history, 1, Some("-2"));
    let failed = call(&mut history, 2, Operation::put("k", "c"));
    history.fail(failed).unwrap();
    let lost = call(&mut history, 3, cas("x", "y"));
    history.unknown(lost).unwrap();
    call(&mut history, 4, Operation::get("k"));
    let model = KvModel::starting_with("");
    let text = export(&history, &model);
    let (read, read_model) = read_history(&text).unwrap();
    assert_eq!(read.records(), history.records());
    assert_eq!(read.events(), history.events());
    assert_eq!(read_model.initial_value(), Some(""));
    assert_eq!(export(&read, &read_model), text);
    assert!(check(model, &read, Budget::default()).verdict.is_linearizable());
}

#[test]
fn malformed_files_name_the_line_and_the_remedy() {
    let header = "{\"format\":\"raft-sim-history\",\"version\":1,\"initial\":null}\n";
    let bad = |text: String| read_history(&text).map(|_| ()).unwrap_err().to_string();
    assert!(bad(String::new()).starts_with("(memory):1: expected a first line"));
    let invoke =
        "{\"event\":\"invoke\",\"id\":0,\"process\":0,\"at\":[1,0],\"key\":\"k\",\"action\":\"get\"}\n";
    let twice = bad(format!("{header}{invoke}{invoke}"));
    assert!(twice.contains(":3: id 0 is used twice"), "{twice}");
    let orphan = bad(format!("{header}{{\"event\":\"fail\",\"id\":7}}\n"));
    assert!(orphan.contains(":2: operation 7 was never called"), "{orphan}");
    let missing = check_file("no/such/file.txt", FileModel::Kv).unwrap_err().to_string();
    assert!(missing.starts_with("no/such/file.txt: can't be read"), "{missing}");
}

/// A good history with ten clients on two keys, as (process, operation, answer, call, return).
type Row = (u64, Operation, Answer, u64, u64);

/// Spoils a history, under a name.
type Mutation<'a> = (&'a str, &'a dyn Fn(&mut Vec<Row>));

fn good() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut held: [Option<Value>; 2] = [None, None];
    for n in 0..60u64 {
        let side = (n / 2 % 2) as usize;
        let key = ["a", "b"][side];
        let (operation, answer) = match n % 5 {
            0 | 3 => {
                held[side] = Some(format!("{key}{n}").into());
                (Operation::put(key, held[side].clone().unwrap()), Answer::done())
            }
            1 if held[side].is_some() => {
                let new: Value = format!("{key}{n}").into();
                let operation = Operation::compare_and_set(key, held[side].take(), new.clone());
                held[side] = Some(new);
                (operation, Answer::done())
            }
            _ => (Operation::get(key), Answer::got(held[side].as_deref())),
        };
        // Neighbours overlap; the point of effect is 10 n + 5.
        rows.push((n % 3, operation, answer, 10 * n, 10 * n + 14));
    }
    rows
}

fn judge(rows: &[Row]) -> Verdict {
    let mut history = KvHistory::new();
    for (process, operation, answer, called, returned) in rows {
        let id = history.invoke(ProcessId(*process), operation.clone(), Stamp::at(*called)).unwrap();
        history.ok(id, answer.clone(), Stamp::at(*returned)).unwrap();
    }
    verdict(&history)
}

fn gets(rows: &[Row], key: &str) -> Vec<usize> {
    (0..rows.len()).filter(|n| rows[*n].1 == Operation::get(key)).collect()
}

#[test]
fn a_mutated_history_is_found_out() {
    let rows = good();
    assert!(judge(&rows).is_linearizable());
    let found = gets(&rows, "a");
    let (early, late) = (found[1], found[found.len() - 1]);
    let mutations: [Mutation<'_>; 6] = [
        ("a stale read", &|rows| rows[late].2 = rows[early].2.clone()),
        ("a read from the future", &|rows| rows[early].2 = rows[late].2.clone()),
        ("swapped reads", &|rows| {
            let (a, b) = (rows[early].2.clone(), rows[late].2.clone());
            (rows[early].2, rows[late].2) = (b, a);
        }),
        ("a lost update", &|rows| {
            // The write that the read saw is gone.
            let Answer::Got { value: Some(value), .. } = rows[late].2.clone() else { panic!("a value") };
            let writer = |row: &Row| {
                row.1 == Operation::put("a", value.clone())
                    || matches!(&row.1.action, raft_sim::check::kv::Action::CompareAndSet { new, .. } if *new == value)
            };
            let index = rows.iter().position(writer).unwrap();
            rows.remove(index);
        }),
        ("a doubled compare-and-set", &|rows| {
            let is_cas = |row: &Row| {
                matches!(row.1.action, raft_sim::check::kv::Action::CompareAndSet { expected: Some(_), .. })
            };
            let mut again = rows.iter().find(|row| is_cas(row)).unwrap().clone();
            if let raft_sim::check::kv::Action::CompareAndSet { new, .. } = &mut again.1.action {
                *new = "again".into();
            }
            (again.0, again.3, again.4) = (9, 10_000, 10_001);
            rows.push(again);
        }),
        ("a value of another key", &|rows| rows[late].2 = Answer::got(Some("b0"))),
    ];
    for (name, mutate) in mutations {
        let mut rows = good();
        mutate(&mut rows);
        assert!(matches!(judge(&rows), Verdict::Violation(_)), "{name}");
    }
}

#[test]
fn a_counterexample_reads_well() {
    let mut history = KvHistory::new();
    put(&mut history, 0, "old");
    let slow = call(&mut history, 1, Operation::put("k", "slow"));
    put(&mut history, 0, "new");
    get(&mut history, 2, Some("new"));
    history.ok_next(slow, Answer::done()).unwrap();
    get(&mut history, 3, Some("old"));
    get(&mut history, 2, Some("new"));
    let report = check(KvModel::new(), &history, Budget::default());
    insta::assert_snapshot!(report.to_string(), @r#"
    6 operations: 6 ok, 0 failed, 0 pending; at most 2 at a time
    1 parts: 1 by zones, 0 by search (0 configurations)
    NOT linearizable

    process 3's get -> "old" of key k is stale: process 1's put "slow" had already replaced that value.
    Key k: no order exists from 10 on, when #4 returned.

      process 0  |-put "old"-|
      process 1                |-put "slow"-|
      process 3                               |-get -> "old"-|

      #0 process 0: put "old" (called 1, returned 2)
      #1 process 1: put "slow" (called 3, returned 8)
      #4 process 3: get -> "old" (called 9, returned 10)
    Also called by then: 2 more, which could happen at any time or never without helping.
    "#);
}
