//! An interpreter of commands on sets, which refuses what libipset and the kernel refuse
//! (`net/netfilter/ipset/ip_set_core.c`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipset_sys::{Command, Create, Entry, Family, Mark, Set, SetType};

/// Type of the mode's set.
const TYPE: &str = super::trace::TYPE;

/// Address, IP protocol number, port.
pub(super) type Key = (IpAddr, u8, u16);

/// One set.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Held {
    pub(super) type_name: String,
    pub(super) family: Family,
    /// Whether elements can have marks.
    pub(super) skbinfo: bool,
    pub(super) max_elements: u32,
    pub(super) elements: BTreeMap<Key, Option<Mark>>,
}

/// Sets by name.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Sets(pub(super) BTreeMap<String, Held>);

impl Sets {
    /// As the kernel lists them.
    pub(super) fn listed(&self) -> Vec<Set> {
        let listed = |(name, held): (&String, &Held)| Set {
            name: name.clone(),
            type_name: held.type_name.clone(),
            max_elements: held.max_elements,
            memory_bytes: 0,
            entries: held.elements.iter().map(entry_of).collect(),
        };
        self.0.iter().map(listed).collect()
    }
}

fn key(entry: &Entry) -> Key {
    (entry.address, entry.protocol, entry.port)
}

fn entry_of((&(address, protocol, port), &mark): (&Key, &Option<Mark>)) -> Entry {
    let second = None;
    Entry {
        address,
        protocol,
        port,
        second,
        prefix: None,
        mark,
    }
}

/// Characters of a set's name, closing NUL included (`IPSET_MAXNAMELEN`).
const NAME_LENGTH: usize = 32;

impl Sets {
    /// Carries out one command; `in_use` says whether a rule refers to a set.
    ///
    /// # Errors
    /// What would be refused, and why.
    pub(super) fn run(
        &mut self,
        command: &Command,
        in_use: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        let refused = |why: &str| Err(format!("'{command}': {why}"));
        match command {
            Command::Create(create) => match self.create(create) {
                Ok(()) => Ok(()),
                Err(why) => refused(why),
            },
            Command::Destroy(name) if in_use(name) => refused("in use by a rule"),
            Command::Destroy(name) => match self.0.remove(name) {
                Some(_) => Ok(()),
                None => refused("no such set"),
            },
            Command::Flush(name) => match self.0.get_mut(name) {
                Some(set) => {
                    set.elements.clear();
                    Ok(())
                }
                None => refused("no such set"),
            },
            Command::Swap(a, b) => match (self.0.remove(a), self.0.remove(b)) {
                (Some(first), Some(second))
                    if (&first.type_name, first.family) == (&second.type_name, second.family) =>
                {
                    self.0.insert(a.clone(), second);
                    self.0.insert(b.clone(), first);
                    Ok(())
                }
                (Some(_), Some(_)) => refused("sets of different types"),
                _ => refused("no such set"),
            },
            Command::Add(name, entry) => match self.0.get_mut(name) {
                Some(set) => set.add(entry).or_else(refused),
                None => refused("no such set"),
            },
            Command::Delete(name, entry) => {
                let set = self.0.get_mut(name);
                match set.map(|set| set.elements.remove(&key(entry))) {
                    Some(Some(_)) => Ok(()),
                    Some(None) => refused("no such element"),
                    None => refused("no such set"),
                }
            }
        }
    }

    fn create(&mut self, create: &Create) -> Result<(), &'static str> {
        if create.name.len() >= NAME_LENGTH {
            return Err("the name is too long");
        }
        if self.0.contains_key(&create.name) {
            return Err("there is such a set");
        }
        let held = Held {
            type_name: create.set_type.name().to_owned(),
            family: create.family,
            skbinfo: create.skbinfo,
            max_elements: create.max_elements,
            elements: BTreeMap::new(),
        };
        self.0.insert(create.name.clone(), held);
        Ok(())
    }
}

impl Held {
    fn add(&mut self, entry: &Entry) -> Result<(), &'static str> {
        if self.type_name != TYPE || entry.second.is_some() || entry.protocol == 0 {
            return Err("not an element of such a set");
        }
        if Family::of(entry.address) != self.family {
            return Err("an address of the other family");
        }
        if entry.mark.is_some() && !self.skbinfo {
            return Err("the set was made without skbinfo");
        }
        if self.elements.contains_key(&key(entry)) {
            return Err("there is such an element");
        }
        if self.elements.len() >= self.max_elements as usize {
            return Err("the set is full");
        }
        self.elements.insert(key(entry), entry.mark);
        Ok(())
    }
}

/// Reads the input of `ipset restore`, as far as the mode writes it.
///
/// # Errors
/// The line that is not understood.
pub(super) fn parse_script(script: &str) -> Result<Vec<Command>, String> {
    let lines = script.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| parse_line(line).ok_or_else(|| format!("'{line}': not understood")))
        .collect()
}

fn parse_line(line: &str) -> Option<Command> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        ["create" | "-N", name, TYPE, ref options @ ..] => create_options(name, options),
        ["destroy", name] => Some(Command::Destroy(name.to_owned())),
        ["flush", name] => Some(Command::Flush(name.to_owned())),
        ["swap", a, b] => Some(Command::Swap(a.to_owned(), b.to_owned())),
        ["add", name, element] => Some(Command::Add(name.to_owned(), entry(element, None)?)),
        ["add", name, element, "skbmark", mark] => {
            Some(Command::Add(name.to_owned(), entry(element, Some(mark))?))
        }
        ["del", name, element] => Some(Command::Delete(name.to_owned(), entry(element, None)?)),
        _ => None,
    }
}

fn create_options(name: &str, options: &[&str]) -> Option<Command> {
    let mut create = Create {
        name: name.to_owned(),
        set_type: SetType::HashIpPort,
        family: Family::Inet,
        max_elements: 65_536,
        hash_size: None,
        skbinfo: false,
    };
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "family" => {
                create.family = match *options.next()? {
                    "inet" => Family::Inet,
                    "inet6" => Family::Inet6,
                    _ => return None,
                }
            }
            "maxelem" => create.max_elements = options.next()?.parse().ok()?,
            "hashsize" => create.hash_size = Some(options.next()?.parse().ok()?),
            "skbinfo" => create.skbinfo = true,
            _ => return None,
        }
    }
    Some(Command::Create(create))
}

/// `10.96.0.1,tcp:80` and `0x10000/0xffff0000`.
fn entry(element: &str, mark: Option<&str>) -> Option<Entry> {
    let (address, rest) = element.split_once(',')?;
    let (protocol, port) = rest.split_once(':')?;
    let number = |text: &str| u32::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    let mark = match mark {
        None => None,
        Some(text) => {
            let (value, mask) = text.split_once('/')?;
            Some(Mark {
                value: number(value)?,
                mask: number(mask)?,
            })
        }
    };
    Some(Entry {
        address: address.parse().ok()?,
        protocol: match protocol {
            "tcp" => libc::IPPROTO_TCP as u8,
            "udp" => libc::IPPROTO_UDP as u8,
            _ => return None,
        },
        port: port.parse().ok()?,
        second: None,
        prefix: None,
        mark,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str) -> Result<Sets, String> {
        let mut sets = Sets::default();
        for command in parse_script(script)? {
            sets.run(&command, |name| name == "used")?;
        }
        Ok(sets)
    }

    const A: &str = "create a hash:ip,port family inet maxelem 2 skbinfo\n";
    const ONE: &str = "add a 10.0.0.1,tcp:80 skbmark 0x10000/0xffff0000\n";

    #[test]
    fn what_the_kernel_refuses_is_refused() {
        assert!(run(&format!("{A}{ONE}")).is_ok());
        for script in [
            format!("{A}{A}"),
            ONE.to_owned(),
            format!("{A}{ONE}{ONE}"),
            format!("{A}del a 10.0.0.1,tcp:80\n"),
            format!("{A}{ONE}add a 10.0.0.2,tcp:80\nadd a 10.0.0.3,tcp:80\n"),
            format!("{}{ONE}", A.replace(" skbinfo", "")),
            format!("{}destroy used\n", A.replace(" a ", " used ")),
            format!("{A}swap a b\n"),
            format!("{A}{}", ONE.replace("10.0.0.1", "fd00::1")),
            format!("{}{ONE}", A.replace(" inet ", " inet6 ")),
            "create a-name-of-thirty-two-characters- hash:ip,port skbinfo\n".to_owned(),
            "create a hash:ip,port skbinfo counters\n".to_owned(),
        ] {
            assert!(run(&script).is_err(), "{script}");
        }
    }

    #[test]
    fn a_swap_exchanges_what_two_names_hold() {
        let sets = run(&format!("{A}{}{ONE}swap a b\n", A.replace(" a ", " b "))).unwrap();
        assert_eq!(
            (sets.0["a"].elements.len(), sets.0["b"].elements.len()),
            (0, 1)
        );
    }

    #[test]
    fn a_script_says_what_the_commands_say() {
        let commands = parse_script(&format!(
            "{A}{ONE}del a 10.0.0.1,udp:53\nswap a b\ndestroy b\n"
        ));
        let commands = commands.unwrap();
        assert_eq!(
            parse_script(&ipset_sys::restore_script(&commands)),
            Ok(commands)
        );
    }
}
