/* What the bindings are made from. libipset's headers need each other in this order. */
#include <libipset/linux_ip_set.h>
#include <libipset/linux_ip_set_hash.h>
#include <libipset/data.h>
#include <libipset/errcode.h>
#include <libipset/parse.h>
#include <libipset/session.h>
#include <libipset/types.h>
