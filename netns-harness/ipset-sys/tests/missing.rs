//! Kernels that this one is not: without ip_set, without a set type, with types of other revisions. One
//! test in a process of its own, because libipset asks for a type once a process.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod wire;
mod write;

use std::fs;

use ipset_sys::{Cause, Command, Create, Entry, Error, Facility, Family, Session, SetType};
use nix::errno::Errno;

const FIND_TYPE: i32 = 4098; // IPSET_ERR_FIND_TYPE

fn without_ip_set(request: &[u8]) -> Option<Vec<u8>> {
    Some(wire::refuse(request, Errno::EINVAL as i32))
}

fn old(request: &[u8]) -> Option<Vec<u8>> {
    let asks_for = |name: &[u8]| request.windows(name.len()).any(|w| w == name);
    match request[4] {
        wire::TYPE if asks_for(b"hash:ip,port,ip\0") => Some(wire::refuse(request, FIND_TYPE)),
        // 5 brought skbinfo (ip_set_hash_ipport.c)
        wire::TYPE if asks_for(b"hash:ip,port\0") => Some(wire::revisions(request, 0, 4)),
        wire::TYPE if asks_for(b"hash:ip\0") => Some(wire::revisions(request, 200, 201)),
        _ => None,
    }
}

fn create(set_type: SetType, skbinfo: bool) -> Command {
    Command::Create(Create {
        name: "s".to_owned(),
        set_type,
        family: Family::Inet,
        max_elements: 100,
        hash_size: None,
        skbinfo,
    })
}

/// Sockets of this process that a program started by it would inherit (O_CLOEXEC in fdinfo's flags).
fn inherited_sockets() -> usize {
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    open.filter(|entry| {
        let is_socket = fs::read_link(entry.path())
            .is_ok_and(|target| target.to_string_lossy().starts_with("socket:"));
        let info = format!("/proc/self/fdinfo/{}", entry.file_name().to_string_lossy());
        let flags = fs::read_to_string(info).unwrap_or_default();
        let flags = flags.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|f| i32::from_str_radix(f.trim(), 8).ok());
        is_socket && flags.is_some_and(|flags| flags & libc::O_CLOEXEC == 0)
    })
    .count()
}

#[test]
fn what_a_kernel_lacks_is_named() {
    testing::in_namespace(|| {
        wire::answer_with(Some(without_ip_set));
        let error = Session::open().unwrap_err();
        assert_eq!(error.missing_facility(), Some(Facility::IpSet), "{error}");

        wire::answer_with(Some(old));
        let inherited = inherited_sockets();
        let mut session = Session::open().unwrap();
        assert_eq!(
            inherited_sockets(),
            inherited,
            "the session's socket is closed on exec"
        );
        wire::sent();
        let mut missing = |command: Command| {
            let error = session.send(&[command]).unwrap_err();
            assert_eq!(wire::sent().0, 0, "nothing is sent");
            error
                .missing_facility()
                .unwrap_or_else(|| panic!("{error}: {:?}", error.cause()))
        };
        assert_eq!(
            missing(create(SetType::HashIpPortIp, false)).to_string(),
            "hash:ip,port,ip"
        );
        assert_eq!(
            missing(create(SetType::HashIpPort, true)).to_string(),
            "skbinfo of hash:ip,port"
        );
        assert_eq!(
            missing(create(SetType::HashIp, false)).to_string(),
            "a revision of hash:ip that libipset and the kernel both know"
        );
        wire::answer_with(None);
        assert_eq!(
            session.sets().unwrap(),
            [],
            "nothing is left over for later commands"
        );
        // Without skbinfo the old revision does, and this kernel still knows it.
        let entry = Entry {
            address: [10, 0, 0, 1].into(),
            protocol: 6,
            port: 80,
            second: None,
            prefix: None,
            mark: None,
        };
        let pair = Entry {
            second: Some([10, 0, 0, 2].into()),
            prefix: None,
            ..entry
        };
        let add = |entry| Command::Add("s".to_owned(), entry);
        let error = session
            .send(&[create(SetType::HashIpPort, false), add(entry), add(pair)])
            .unwrap_err();
        assert!(
            matches!(&error, Error::Refused { index: 2, .. }),
            "{error:?}"
        );
        assert_eq!(
            error.missing_facility(),
            Some(Facility::Type(SetType::HashIpPortIp))
        );
        assert_eq!(
            session.sets().unwrap()[0].entries,
            [entry],
            "what came before is there"
        );

        let refuse: wire::Kernel = |request| Some(wire::refuse(request, Errno::EBUSY as i32));
        wire::answer_with(Some(refuse));
        let error = session
            .send(&[Command::Destroy("s".to_owned())])
            .unwrap_err();
        assert_eq!(
            error.cause(),
            Some(Cause::Kernel(Errno::EBUSY as u32)),
            "{error}"
        );
        assert_eq!(error.missing_facility(), None);
    });
}
