//! Which cell is held against which.

use std::collections::{BTreeMap, BTreeSet};

use schema::comparison::Difference;
use schema::{CellKey, INSTALLED, Mode, OptionKey, ScenarioKind};

use super::CompareError;
use super::across::Across;
use super::digest::{CellDigest, Digest};
use super::environment::differences;

/// One side: cells of a run.
#[derive(Debug)]
pub(super) struct Half<'a> {
    pub(super) run: &'a Digest,
    /// Which variant, or which value; "" for all of a run.
    pub(super) part: String,
    pub(super) cells: Vec<&'a CellDigest>,
}

/// Every cell of a side, over all its stays.
#[derive(Debug, Default)]
pub(super) struct Pair<'a> {
    pub(super) base: Vec<&'a CellDigest>,
    pub(super) new: Vec<&'a CellDigest>,
}

/// Two sides, matched.
#[derive(Debug)]
pub(super) struct Matched<'a> {
    pub(super) base: Half<'a>,
    pub(super) new: Half<'a>,
    /// Both come out of the blocks of one run.
    pub(super) one_run: bool,
    /// What may differ.
    pub(super) across: Vec<Across>,
    /// What does, of the environments.
    pub(super) differences: Vec<Difference>,
    /// By identity, less what may differ.
    pub(super) pairs: BTreeMap<CellKey, Pair<'a>>,
}

impl<'a> Matched<'a> {
    /// Whether all times of both sides are executed instructions.
    pub(super) fn is_counted(&self) -> bool {
        let mut cells = self.base.cells.iter().chain(&self.new.cells);
        cells.all(|cell| cell.deterministic)
    }

    /// Whether one side was measured as schema 1 did, and the other as later ones do.
    pub(super) fn crosses_schema_two(&self) -> bool {
        let of_one = |half: &Half<'_>| half.run.header.schema_version < 2;
        of_one(&self.base) != of_one(&self.new)
    }

    /// Two runs, or the two sides of one.
    pub(super) fn of(
        base: &'a Digest,
        new: Option<&'a Digest>,
        across: &[Across],
    ) -> Result<Self, CompareError> {
        let (base, new, across, one_run) = match new {
            Some(new) => {
                let whole = |run| half(run, "", |_| true);
                (whole(base), whole(new), across.to_vec(), false)
            }
            None => {
                let (base, new, across) = sides_of_one(base, across)?;
                (base, new, across, true)
            }
        };
        let environments = environments(&base, &new, &across);
        let differences = fingerprint(&base, &new, &environments, &across)?;
        let blanked = Blanked::of(&base, &new, &across);
        let sizes = sizes(&base, &new, &across);
        let pairs = pairs((&base, &new), (&environments, &sizes), &blanked)?;
        Ok(Self {
            base,
            new,
            one_run,
            across,
            differences,
            pairs,
        })
    }
}

fn half<'a>(run: &'a Digest, part: &str, holds: impl Fn(&CellDigest) -> bool) -> Half<'a> {
    Half {
        run,
        part: part.to_owned(),
        cells: run.cells.iter().filter(|cell| holds(cell)).collect(),
    }
}

/// Variants, or the two values of what is compared across.
fn sides_of_one<'a>(
    run: &'a Digest,
    across: &[Across],
) -> Result<(Half<'a>, Half<'a>, Vec<Across>), CompareError> {
    // A run with variants has its two sides; a key says in what else they may differ.
    let variants = variants(run);
    let (key, values) = match across {
        _ if variants.len() == 2 => (Across::Variant, variants),
        [] | [Across::Variant] => (Across::Variant, variants),
        // Cells without the option are no side of it.
        [key] => (*key, key.values_of(run.cells.iter())),
        _ => {
            return Err(CompareError::Usage(
                "--across takes one key when a single run is given: name two runs, or one key"
                    .to_owned(),
            ));
        }
    };
    let [base, new] = &values[..] else {
        return Err(CompareError::Usage(not_two(run, key, &values)));
    };
    let side = |value: &String| half(run, value, |cell| key.of(&cell.key) == *value);
    // What identities of variants may differ in is paired by rank already; environments must be asked for.
    let asked = across
        .iter()
        .filter(|asked| **asked != key && asked.is_of_the_environment());
    let keys = std::iter::once(&key).chain(asked).copied().collect();
    Ok((side(base), side(new), keys))
}

/// Why a run has no two sides.
fn not_two(run: &Digest, key: Across, values: &[String]) -> String {
    let path = run.path.display();
    match (key, values.len()) {
        (Across::Variant, _) => format!(
            "{path} has no variants to compare: name a second run, or --across KEY for what differs inside of it"
        ),
        (_, ..2) => format!("{path} has one value of {key}: name a second run to compare it with"),
        (_, many) => format!(
            "{path} has {many} values of {key} ({}): a single run is compared across exactly two",
            values.join(", ")
        ),
    }
}

/// The two variants that are compared: `base` and `head`, else the first two of the header.
fn variants(run: &Digest) -> Vec<String> {
    let named = run
        .header
        .variants
        .iter()
        .map(|variant| variant.name.clone());
    let mut named: Vec<String> = named.collect();
    let pair = ["base", "head"].map(str::to_owned);
    if pair.iter().all(|name| named.contains(name)) {
        return pair.to_vec();
    }
    named.truncate(2);
    named
}

/// Names of NEW's environments, by those of BASE: equal names, and the only one left on either side. Variants
/// pair theirs by rank, as their run did.
fn environments(base: &Half<'_>, new: &Half<'_>, across: &[Across]) -> BTreeMap<String, String> {
    let names = |half: &Half<'_>| Across::Kernel.values_of(half.cells.iter().copied());
    let (base, new) = (names(base), names(new));
    if across.contains(&Across::Variant) && base.len() == new.len() {
        return new.into_iter().zip(base).collect();
    }
    let (both, right): (Vec<_>, Vec<_>) = new.into_iter().partition(|name| base.contains(name));
    let left: Vec<String> = base
        .into_iter()
        .filter(|name| !both.contains(name))
        .collect();
    let mut pairs: BTreeMap<String, String> = both.into_iter().map(|n| (n.clone(), n)).collect();
    if let ([left], [right]) = (&left[..], &right[..]) {
        pairs.insert(right.clone(), left.clone());
    }
    pairs
}

/// Sizes of NEW, by those of BASE of the same rank: of variants, which have equally many.
fn sizes(base: &Half<'_>, new: &Half<'_>, across: &[Across]) -> BTreeMap<u32, u32> {
    let sizes = |half: &Half<'_>| -> BTreeSet<u32> {
        half.cells.iter().map(|cell| cell.key.services).collect()
    };
    let (base, new) = (sizes(base), sizes(new));
    let paired = across.contains(&Across::Variant) && base.len() == new.len();
    let pairs = new.into_iter().zip(base);
    pairs.filter(|_| paired).collect()
}

/// Differences of all paired environments that may be; an error where one may not.
fn fingerprint(
    base: &Half<'_>,
    new: &Half<'_>,
    environments: &BTreeMap<String, String>,
    across: &[Across],
) -> Result<Vec<Difference>, CompareError> {
    let mut found: Vec<Difference> = Vec::new();
    for (new_name, base_name) in environments {
        let base = base.run.header.environments.get(base_name);
        let new = new.run.header.environments.get(new_name);
        let all = base.zip(new).map(|(base, new)| differences(base, new));
        for difference in all.into_iter().flatten() {
            if !found.contains(&difference) {
                found.push(difference);
            }
        }
    }
    found.extend(runner(base, new));
    let is_asked = |difference: &Difference| {
        let key = difference.key.parse::<Across>();
        key.is_ok_and(|key| across.iter().any(|asked| asked.allows(key)))
    };
    match found.iter().all(is_asked) {
        true => Ok(found),
        false => {
            found.retain(|difference| !is_asked(difference));
            Err(CompareError::Environments(found))
        }
    }
}

/// Two builds of bench-runner, where its own instructions are counted with the rest: those of the client and the servers, and
/// of what it does between the answers of a kernel.
fn runner(base: &Half<'_>, new: &Half<'_>) -> Option<Difference> {
    let mut cells = base.cells.iter().chain(&new.cells);
    let counted = cells.all(|cell| cell.deterministic);
    let (base, new) = (&base.run.header, &new.run.header);
    let known = !base.binary.is_empty() && !new.binary.is_empty();
    (counted && known && base.binary != new.binary).then(|| Difference {
        key: Across::Runner.name().to_owned(),
        fact: "bench-runner's checksum".to_owned(),
        base: format!("{} ({})", base.binary, base.revision),
        new: format!("{} ({})", new.binary, new.revision),
    })
}

/// What is taken out of identities: what was asked; and of variants, for each mode and scenario, what each has one value of,
/// or has not while the other has one.
struct Blanked {
    asked: Vec<Across>,
    of_cells: BTreeSet<(Mode, ScenarioKind, Across)>,
}

impl Blanked {
    fn of(base: &Half<'_>, new: &Half<'_>, across: &[Across]) -> Self {
        let mut asked = across.to_vec();
        asked.retain(|key| !key.is_of_the_environment());
        let mut of_cells = BTreeSet::new();
        if across.contains(&Across::Variant) {
            let kind = |cell: &CellDigest| (cell.key.mode, cell.key.scenario);
            let kinds: BTreeSet<_> = base.cells.iter().map(|cell| kind(cell)).collect();
            let options = OptionKey::ALL.iter().filter(|key| key.row().of_variants);
            let keys = [Across::Endpoints].into_iter();
            let keys = keys.chain(options.map(|key| Across::Option(*key)));
            for (key, of) in keys.flat_map(|key| kinds.iter().map(move |of| (key, *of))) {
                let values = |half: &Half<'_>| {
                    let cells = half.cells.iter().copied();
                    key.values_of(cells.filter(|cell| kind(cell) == of))
                };
                let (base, new) = (values(base), values(new));
                if base.len() <= 1 && new.len() <= 1 && base != new {
                    of_cells.insert((of.0, of.1, key));
                }
            }
        }
        Self { asked, of_cells }
    }

    /// What is taken out of the identity of a cell.
    fn keys(&self, cell: &CellKey) -> impl Iterator<Item = Across> {
        let of = (cell.mode, cell.scenario);
        let of_cell = self
            .of_cells
            .iter()
            .filter(move |(mode, scenario, _)| (*mode, *scenario) == of);
        let of_cell = of_cell.map(|(.., key)| *key);
        self.asked.iter().copied().chain(of_cell)
    }
}

fn pairs<'a>(
    (base, new): (&Half<'a>, &Half<'a>),
    (environments, sizes): (&BTreeMap<String, String>, &BTreeMap<u32, u32>),
    blanked: &Blanked,
) -> Result<BTreeMap<CellKey, Pair<'a>>, CompareError> {
    let mut pairs: BTreeMap<CellKey, Pair<'a>> = BTreeMap::new();
    let identity = |cell: &CellDigest| {
        let mut key = cell.key.clone();
        if key.options.is(OptionKey::Suite, INSTALLED) {
            key.options.remove(OptionKey::Suite);
        }
        let taken_out = blanked.keys(&cell.key);
        taken_out.for_each(|across| across.blank(&mut key));
        key
    };
    for cell in &base.cells {
        pairs.entry(identity(cell)).or_default().base.push(cell);
    }
    for cell in &new.cells {
        let mut key = identity(cell);
        if let Some(name) = environments.get(&key.environment) {
            key.environment.clone_from(name);
        }
        if let Some(services) = sizes.get(&key.services) {
            key.services = *services;
        }
        pairs.entry(key).or_default().new.push(cell);
    }
    for pair in pairs.values_mut() {
        for (name, side) in [("BASE", &mut pair.base), ("NEW", &mut pair.new)] {
            side.sort_by_key(|cell| (cell.block, cell.stay));
            let differs =
                |other: &CellDigest, key: &Across| key.of(&other.key) != key.of(&side[0].key);
            if let Some(other) = side.iter().find(|cell| cell.key != side[0].key)
                && let Some(key) = blanked.keys(&other.key).find(|key| differs(other, key))
            {
                return Err(CompareError::Usage(format!(
                    "--across {key}: {name} has it as {} and as {}: give a run with one value",
                    key.of(&side[0].key),
                    key.of(&other.key)
                )));
            }
        }
    }
    Ok(pairs)
}
