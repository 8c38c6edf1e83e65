/*
 * libipset prints a listing through a C-variadic callback, which stable Rust cannot define. This one
 * formats, and hands the bytes to a Rust function of fixed arguments.
 */
#define _GNU_SOURCE /* vasprintf */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

struct ipset_session;

/* Defined in session.rs. */
void ipset_sys_append(void *output, const char *text, size_t length);

int ipset_sys_print(struct ipset_session *session, void *output, const char *format, ...)
{
	char *text = NULL;
	va_list arguments;
	int length;

	(void)session;
	va_start(arguments, format);
	length = vasprintf(&text, format, arguments);
	va_end(arguments);
	if (length < 0)
		return -1;
	ipset_sys_append(output, text, (size_t)length);
	free(text);
	return length;
}
