# shellcheck shell=bash
# Shared by the claims about what a change costs: the patches that are kept beside it, and a tree to apply them to.
# shellcheck disable=SC2034,SC2154 # $verify, $root and $scratch come from lib.sh; who sources this uses $kinds and $tree

# A kind of change, and the most files that it may touch.
declare -A most=([mode]=4 [scenario]=4 [option]=3 [format]=2 [type]=3)
kinds=(mode scenario option format type)
hunks_most=8

# patch_of KIND
patch_of() { echo "$verify/cost-of-change.$1.patch"; }

# tree_of_ours: sets $tree: a copy of what is checked in here, with what has changed since.
tree_of_ours() {
    tree=$scratch/tree
    git clone --quiet --shared "$root" "$tree" || give_up 'the repository cannot be cloned'
    git -C "$root" diff HEAD --binary | git -C "$tree" apply --allow-empty --index || give_up 'what is not committed cannot be copied'
}

# within KIND: the patch is small enough, and it fits.
within() {
    local patch files hunks
    patch=$(patch_of "$1")
    files=$(grep -c '^diff --git ' "$patch")
    hunks=$(awk '/^diff --git / { n = 0 } /^@@ / { n++; if (n > most) most = n } END { print most + 0 }' "$patch")
    holds "$1: $files files, new and changed, of at most ${most[$1]}" test "$files" -ge 1 -a "$files" -le "${most[$1]}"
    holds "$1: $hunks hunks in a file at most, of $hunks_most" test "$hunks" -ge 1 -a "$hunks" -le "$hunks_most"
    holds "$1: the patch fits this tree" git -C "$tree" apply --check "$patch"
}
