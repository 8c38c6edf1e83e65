//! Virtual servers as they would be after operations, refusing what the kernel refuses
//! (`net/netfilter/ipvs/ip_vs_ctl.c`, Linux 6.12: `ip_vs_add_service`, `ip_vs_add_dest`,
//! `ip_vs_genl_set_cmd`).

use std::collections::BTreeMap;

use ipvs_codec::{Destination, Op, Server, Service, ServiceId};
use nix::errno::Errno;

/// Virtual servers by what names them, each with its destinations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Servers(pub BTreeMap<ServiceId, (Service, BTreeMap<Server, Destination>)>);

impl Servers {
    /// Carries out one operation.
    ///
    /// # Errors
    /// The kernel's answer; nothing has changed.
    pub fn carry_out(&mut self, op: &Op) -> Result<(), Errno> {
        match *op {
            Op::AddService(service) => {
                if self.0.contains_key(&service.id) {
                    return Err(Errno::EEXIST);
                }
                let new = (service, BTreeMap::new());
                self.0.insert(service.id, new);
            }
            Op::SetService(service) => self.service(service.id)?.0 = service,
            Op::DeleteService(id) => {
                self.0.remove(&id).ok_or(Errno::ESRCH)?;
            }
            Op::AddDestination(id, destination) => {
                let servers = &mut self.service(id)?.1;
                if servers.contains_key(&destination.server) {
                    return Err(Errno::EEXIST);
                }
                servers.insert(destination.server, destination);
            }
            Op::SetDestination(id, destination) => {
                let servers = &mut self.service(id)?.1;
                *servers.get_mut(&destination.server).ok_or(Errno::ENOENT)? = destination;
            }
            Op::DeleteDestination(id, server) => {
                let servers = &mut self.service(id)?.1;
                servers.remove(&server).ok_or(Errno::ENOENT)?;
            }
            Op::Flush => self.0.clear(),
        }
        Ok(())
    }

    /// Carries out a batch as the kernel would one send: past refusals.
    ///
    /// # Errors
    /// The first refused operation and its answer.
    pub fn carry_out_all(&mut self, ops: &[Op]) -> Result<(), (usize, Errno)> {
        let mut first = Ok(());
        for (index, op) in ops.iter().enumerate() {
            let done = self.carry_out(op).map_err(|errno| (index, errno));
            first = first.and(done);
        }
        first
    }

    fn service(
        &mut self,
        id: ServiceId,
    ) -> Result<&mut (Service, BTreeMap<Server, Destination>), Errno> {
        self.0.get_mut(&id).ok_or(Errno::ESRCH)
    }
}
