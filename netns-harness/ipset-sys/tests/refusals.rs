//! What the running kernel and libipset refuse, and what is left of the sets then.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![allow(unsafe_code, reason = "one raw system call")]

mod write;

use ipset_sys::{Cause, Command, Entry, Error, Facility, Session, SetType};
use testing::in_namespace;
use write::{add, create, tcp};

/// `IPSET_ERR_EXIST` and `IPSET_ERR_HASH_FULL` (include/uapi/linux/netfilter/ipset).
const EXIST: u32 = 4103;
const HASH_FULL: u32 = 4352;

fn refusal(result: Result<(), Error>) -> (usize, String, Cause) {
    match result.unwrap_err() {
        Error::Refused {
            index,
            reason,
            cause,
            ..
        } => (index, reason, cause),
        other => panic!("{other}"),
    }
}

#[test]
fn an_entry_that_is_there_already_is_named_and_what_came_before_it_stays() {
    in_namespace(|| {
        let mut session = Session::open().unwrap();
        let mut commands = vec![create("s", SetType::HashIpPort, 1000)];
        commands.extend((1..=200).map(|port| add("s", tcp([10, 0, 0, 1], port))));
        commands.insert(150, add("s", tcp([10, 0, 0, 1], 5)));
        let result = session.send(&commands);
        let error = result.clone().unwrap_err();
        assert_eq!(
            error.to_string(),
            "add s 10.0.0.1,tcp:5: Element cannot be added to the set: it's already added"
        );
        assert_eq!(error.cause(), Some(Cause::Kernel(EXIST)));
        assert_eq!(refusal(result).0, 150);
        // The session goes on, and the sets are as they were.
        let sets = session.sets().unwrap();
        assert_eq!(
            sets[0].entries.len(),
            149,
            "those before it, and none after it"
        );
        session.send(&[add("s", tcp([10, 0, 0, 1], 200))]).unwrap();
        assert_eq!(session.sets().unwrap()[0].entries.len(), 150);
    });
}

#[test]
fn what_is_not_there_cannot_be_deleted_flushed_or_added_to() {
    in_namespace(|| {
        let mut session = Session::open().unwrap();
        session
            .send(&[create("s", SetType::HashIpPort, 10)])
            .unwrap();
        let entry = tcp([10, 0, 0, 1], 1);
        let absent = session
            .send(&[Command::Delete("s".to_owned(), entry)])
            .unwrap_err();
        assert!(absent.is_not_found(), "{absent}");
        for command in [
            Command::Delete("t".to_owned(), entry),
            add("t", entry),
            Command::Flush("t".to_owned()),
            Command::Destroy("t".to_owned()),
            Command::Swap("s".to_owned(), "t".to_owned()),
        ] {
            let error = session.send(std::slice::from_ref(&command)).unwrap_err();
            assert!(error.is_not_found(), "{error}: {:?}", error.cause());
            assert!(
                error.to_string().starts_with(&command.to_string()),
                "{error}"
            );
        }
        let again = session
            .send(&[create("s", SetType::HashIpPort, 10)])
            .unwrap_err();
        let exists = Cause::Kernel(libc::EEXIST as u32);
        assert_eq!(again.cause(), Some(exists), "{again}");
    });
}

#[test]
fn a_name_of_32_characters_is_refused_before_anything_is_sent() {
    in_namespace(|| {
        let mut session = Session::open().unwrap();
        let longest = "n".repeat(31);
        let longer = "n".repeat(32);
        let (index, reason, cause) = refusal(session.send(&[
            create(&longest, SetType::HashIp, 10),
            create(&longer, SetType::HashIp, 10),
        ]));
        assert_eq!((index, cause), (1, Cause::Library));
        assert!(reason.contains("longer than 31 characters"), "{reason}");
        assert_eq!(session.sets().unwrap(), []);
        for name in ["", "a b", "a\0b", "a\nb"] {
            let (_, _, cause) = refusal(session.send(&[Command::Flush(name.to_owned())]));
            assert_eq!(cause, Cause::Library, "{name:?}");
        }
        session
            .send(&[create(&longest, SetType::HashIp, 10)])
            .unwrap();
        assert_eq!(session.sets().unwrap()[0].name, longest);
    });
}

#[test]
fn a_full_set_refuses_the_next_entry() {
    in_namespace(|| {
        let mut session = Session::open().unwrap();
        let commands: Vec<Command> = [create("s", SetType::HashIpPort, 64)]
            .into_iter()
            .chain((1..=65).map(|port| add("s", tcp([10, 0, 0, 1], port))))
            .collect();
        let error = session.send(&commands).unwrap_err();
        assert_eq!(error.cause(), Some(Cause::Kernel(HASH_FULL)), "{error}");
        assert!(
            error.to_string().starts_with("add s 10.0.0.1,tcp:65: "),
            "{error}"
        );
        assert_eq!(session.sets().unwrap()[0].entries.len(), 64);
    });
}

#[test]
fn an_entry_of_another_shape_is_refused() {
    in_namespace(|| {
        let mut session = Session::open().unwrap();
        session
            .send(&[create("s", SetType::HashIpPort, 10)])
            .unwrap();
        let address_only = Entry {
            protocol: 0,
            port: 0,
            ..tcp([10, 0, 0, 1], 0)
        };
        let (_, _, cause) = refusal(session.send(&[add("s", address_only)]));
        assert!(
            matches!(cause, Cause::Kernel(code) if code > 4096),
            "{cause:?}"
        );
        assert!(session.sets().unwrap()[0].entries.is_empty());
    });
}

#[test]
fn without_the_privilege_the_error_names_it() {
    in_namespace(|| {
        let mut session = Session::open().unwrap();
        // The raw system call: of this thread only. Root's capabilities go with the user id.
        // SAFETY: changes ids of the calling thread, which ends with this test.
        let done = unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) };
        if done != 0 {
            testing::skip("netns", "cannot become another user");
            return;
        }
        let error = session
            .send(&[create("s", SetType::HashIp, 9)])
            .unwrap_err();
        assert_eq!(
            error.missing_facility(),
            Some(Facility::Privilege),
            "{error}"
        );
        let error = session.sets().unwrap_err();
        assert_eq!(
            error.missing_facility(),
            Some(Facility::Privilege),
            "{error}"
        );
        let error = Session::open().unwrap_err();
        assert_eq!(
            error.missing_facility(),
            Some(Facility::Privilege),
            "{error}"
        );
    });
}
