# shellcheck shell=bash
# What is left of a run that was killed: shared by the scripts that kill one. The run is started from
# $scratch/bench-runner, a copy of its own, with $mark in its environment.
# shellcheck disable=SC2154 # $scratch comes from lib.sh, $mark from the script

# Tasks of the run, threads included: a leader may be a zombie while a thread is still in the kernel.
marked_tasks() {
    {
        grep -lzsFx -- "$mark" /proc/[0-9]*/task/[0-9]*/environ
        find /proc/[0-9]*/task/[0-9]*/exe -maxdepth 0 -lname "$scratch/bench-runner*" 2>/dev/null
    } | sed 's|^\(/proc/.*\)/[a-z]*$|\1|' | sort -u || true
}

# Namespaces that the given tasks are in or hold by a descriptor and that are not this shell's, as
# "net:[4026…]".
namespaces_of() {
    local task
    while read -r task; do
        readlink "$task"/ns/{net,mnt,pid} 2>/dev/null || true
        find "$task/fd" -type l -lname 'net:*' -printf '%l\n' 2>/dev/null || true
    done | sort -u | grep -vxF "$(readlink /proc/self/ns/{net,mnt,pid})" || true
}

# Of the namespaces listed in a file, those that a task, an open file or a mount still holds.
held_namespaces() {
    [[ -s $1 ]] || return 0
    {
        find /proc/[0-9]*/task/[0-9]*/ns /proc/[0-9]*/fd -type l -printf '%l\n' 2>/dev/null
        cat /proc/[0-9]*/mountinfo 2>/dev/null | grep -oE '(net|mnt|pid):\[[0-9]+\]'
    } | grep -xFf "$1" | sort -u || true
}

# True when every task given has its SIGKILL, or is exiting, and has yet to leave the kernel: bit 8 of
# the pending signals (proc_pid_status(5)), PF_EXITING in the flags (include/linux/sched.h).
all_in_kernel() {
    local task pending flags
    for task in "$@"; do
        [[ -e $task ]] || continue
        pending=$(awk '/^(SigPnd|ShdPnd)/ { print "0x" $2 }' "$task/status" 2>/dev/null) || continue
        flags=$(sed 's/.*) //' "$task/stat" 2>/dev/null | cut -d' ' -f7) || continue
        local set=0 mask
        for mask in $pending; do ((mask & 0x100)) && set=1; done
        ((${flags:-0} & 0x4)) && set=1
        ((set)) || return 1
    done
}

milliseconds() { echo $(($(date +%s%N) / 1000000)); }
