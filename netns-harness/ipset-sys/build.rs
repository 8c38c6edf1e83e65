//! Finds libipset and makes bindings from the headers of the version that is installed.

use std::env;
use std::path::PathBuf;

/// 7.0 is the first with a session that is apart from the command line (`ipset_session_init` with an
/// output function).
const OLDEST: &str = "7.0";

const FUNCTIONS: &str = "ipset_(session_(init|fini|data|lineno|report_msg|report_reset)|cmd|commit\
    |data_(set|reset)|errcode|parse_setname|type_get|load_types)";
const CONSTANTS: &str = "IPSET_.*|NFPROTO_IPV[46]";

fn main() {
    println!("cargo:rerun-if-changed=wrapper.h");

    // tests/wire takes the place of these two, which needs them in the binary's dynamic symbols.
    for symbol in ["mnl_socket_sendto", "mnl_socket_recvfrom"] {
        println!("cargo:rustc-link-arg-tests=-Wl,--export-dynamic-symbol={symbol}");
    }

    let library = pkg_config::Config::new()
        .atleast_version(OLDEST)
        .probe("libipset")
        .unwrap_or_else(|error| {
            panic!("libipset is needed to build (apt-get install libipset-dev): {error}")
        });
    let include = library
        .include_paths
        .iter()
        .map(|path| format!("-I{}", path.display()));

    let bindings = bindgen::Builder::default()
        .header("wrapper.h")
        .clang_args(include)
        .allowlist_function(FUNCTIONS)
        .allowlist_var(CONSTANTS)
        .allowlist_type("ipset_(opt|cmd|adt|errno|keywords)")
        .prepend_enum_name(false)
        .layout_tests(false)
        .generate_comments(false)
        .wrap_unsafe_ops(true)
        .generate()
        .unwrap_or_else(|error| {
            panic!("no bindings to libipset (apt-get install libclang-dev): {error}")
        });
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    bindings
        .write_to_file(out.join("bindings.rs"))
        .expect("OUT_DIR can be written");
}
