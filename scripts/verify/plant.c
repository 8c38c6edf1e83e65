/* Stands in for a tool (--tool NAME=FILE): does what a change of it or of a library might make it do, then is the tool.
 * cc -O2 -DTOOL='"/usr/sbin/iptables-legacy-restore"' -DPACKETS=10 -o FILE scripts/verify/plant.c */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/membarrier.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PACKETS
#define PACKETS 0 /* packet sockets that are opened and closed: each close waits for a grace period (packet_release) */
#endif
#ifndef MEMBARRIERS
#define MEMBARRIERS 0 /* global membarriers: each waits for one where several CPUs are online (kernel/sched/membarrier.c) */
#endif
#ifndef LOOPS
#define LOOPS 0 /* turns of an empty loop */
#endif

#ifndef PROCESSES
#define PROCESSES 0 /* times that the tool is started for nothing, one after the other */
#endif

int main(int argc, char **argv)
{
	(void)argc;
	for (int i = 0; i < PACKETS; i++) {
		int s = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
		if (s < 0)
			return 99;
		close(s);
	}
	for (int i = 0; i < MEMBARRIERS; i++)
		if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
			return 98;
	for (volatile long i = 0; i < LOOPS; i++)
		;
	for (int i = 0; i < PROCESSES; i++) {
		pid_t child = fork();
		if (child < 0)
			return 96;
		if (!child) {
			int nowhere = open("/dev/null", O_WRONLY);
			dup2(nowhere, STDOUT_FILENO);
			execl(TOOL, argv[0], "--version", (char *)0);
			_exit(95);
		}
		waitpid(child, 0, 0);
	}
	execv(TOOL, argv);
	return 97;
}
