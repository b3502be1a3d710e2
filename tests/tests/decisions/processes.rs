//! Tests of the reports that processes begin and end.

use super::*;

#[test]
fn a_process_is_reported_with_what_it_runs_for_whom_and_how_it_ends() {
    let found = Command::new("sh")
        .args(["-c", "command -v busybox"])
        .output()
        .unwrap();
    let busybox = text(&found.stdout).trim_end();
    let zone = Protected::with(QUIET);
    let mut app = Told::<Process>::of(&zone, Mask::of(kind::PROCESS_START).and(kind::PROCESS_EXIT));
    let arguments =
        |process: &Process| process.arguments[..process.arguments_length as usize].to_owned();

    let parent = Somebody::user(USER).starts(&zone, &format!("start {busybox} sleep 60"));
    let began = app.wait_for(kind::PROCESS_START, |it| it.parent == parent.process.id());
    assert_eq!(
        (text(&began.name), text(&began.path), began.user),
        ("busybox", busybox, USER)
    );
    assert_eq!(
        arguments(&began),
        format!("{busybox}\0sleep\x0060\0").into_bytes()
    );
    let file = zone
        .ask()
        .program(began.program[0], began.program[1])
        .unwrap();
    assert_eq!(file.as_deref(), Some(busybox));
    kill(Pid::from_raw(began.pid as i32), Signal::SIGKILL).unwrap();
    let ended = app.wait_for(kind::PROCESS_EXIT, |it| it.pid == began.pid);
    assert_eq!(
        (ended.exit_code, ended.user, text(&ended.name)),
        (9, USER, "busybox")
    );

    let line = format!("{busybox} sh -c 'exit 7'; true");
    let shell = zone.lab.inside(&["bash", "-c", &line]).spawn().unwrap();
    let pid = shell.id();
    assert!(shell.wait_with_output().unwrap().status.success());
    let began = app.wait_for(kind::PROCESS_START, |it| it.parent == pid);
    assert_eq!(
        (text(&began.name), text(&began.path), began.user),
        ("busybox", busybox, 0)
    );
    assert_eq!(
        arguments(&began),
        format!("{busybox}\0sh\0-c\0exit 7\0").into_bytes()
    );
    let ended = app.wait_for(kind::PROCESS_EXIT, |it| it.pid == began.pid);
    assert_eq!((ended.exit_code, ended.parent), (7 << 8, pid));
}

#[test]
fn a_process_ends_with_its_last_thread_and_not_with_its_first() {
    let zone = Protected::with(QUIET);
    let mut app = Told::<Process>::of(&zone, Mask::of(kind::PROCESS_START).and(kind::PROCESS_EXIT));
    let mut somebody = Somebody::user(USER).starts(&zone, "outlive");
    let pid = somebody.process.id();
    assert_eq!(app.ends(&zone, pid), 0, "its first thread has ended");
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    kill(Pid::from_raw(pid as i32), Signal::SIGTERM).unwrap();
    let status = somebody.process.wait().unwrap();
    assert_eq!(app.ends(&zone, pid), 1, "the others have");
    let ended = app.wait_for(kind::PROCESS_EXIT, |it| it.pid == pid);
    // It goes by the name of the first one, and ends as whoever waits for it is told.
    assert_eq!((text(&ended.name), ended.user), (name.trim_end(), USER));
    assert_eq!(
        (ended.exit_code as i32, ended.parent),
        (status.into_raw(), std::process::id())
    );
}

#[test]
fn a_thread_that_starts_a_program_ends_no_process() {
    let zone = Protected::with(QUIET);
    let mut app = Told::<Process>::of(&zone, Mask::of(kind::PROCESS_START).and(kind::PROCESS_EXIT));
    let somebody = Somebody::user(USER).starts(&zone, "become busybox sleep 60");
    let pid = somebody.process.id();
    app.wait_for(kind::PROCESS_START, |it| {
        it.pid == pid && text(&it.name) == "busybox"
    });
    assert_eq!(app.ends(&zone, pid), 0, "it goes on as the program");
    drop(somebody);
    assert_eq!(app.ends(&zone, pid), 1);
    let ended = app.wait_for(kind::PROCESS_EXIT, |it| it.pid == pid);
    assert_eq!((ended.exit_code, text(&ended.name)), (9, "busybox"));
}

#[test]
fn a_process_whose_threads_end_together_is_reported_once() {
    let zone = Protected::with(QUIET);
    let mut app = Told::<Process>::of(&zone, Mask::of(kind::PROCESS_EXIT));
    for _ in 0..40 {
        let mut somebody = Somebody::root().begins(&zone, "together");
        let pid = somebody.process.id();
        assert_eq!(somebody.process.wait().unwrap().code(), Some(7));
        assert_eq!(app.ends(&zone, pid), 1);
        let ended = app.wait_for(kind::PROCESS_EXIT, |it| it.pid == pid);
        assert_eq!(
            (ended.exit_code, ended.parent),
            (7 << 8, std::process::id())
        );
    }
}
