#ifndef CARGUMENTS_H
#define CARGUMENTS_H

/* The words that the process was started with. Swift reads them from /proc, which is missing in some containers and
 * chroots. NULL where the C library does not tell them to constructors. */
char **dpo_arguments(int *count);

#endif
