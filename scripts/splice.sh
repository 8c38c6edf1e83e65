# shellcheck shell=bash
# Shared by the scripts that bring figures into documents.

# splice FILE TEXT: replaces what is between FILE's figures:begin and figures:end by TEXT. TEXT is an argument and no
# pipe, so that a command that failed half-way replaces nothing.
splice() {
    if [[ $(grep -cE '^<!-- figures:(begin|end)' "$1") != 2 ]]; then
        echo "error: $1 does not have one figures:begin and one figures:end" >&2
        exit 2
    fi
    TEXT=$2 awk '
        /^<!-- figures:begin/ { print; print ENVIRON["TEXT"]; inside = 1 }
        /^<!-- figures:end/ { inside = 0 }
        !inside { print }
    ' "$1" >"$1.part"
    # Through the file, not over it: mode and owner stay.
    cat "$1.part" >"$1"
    rm "$1.part"
}
