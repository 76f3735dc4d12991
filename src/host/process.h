/* How a process that holds keys and other people's texts behaves. */
#ifndef ROOST_HOST_PROCESS_H
#define ROOST_HOST_PROCESS_H

/* No core dumps (they would hold keys and text), as many files as it may have, no death by a closed pipe; and a file that may
 * not grow (ulimit -f) is an error of the write, like a full disk. Once, at the start. */
void process_prepare(void);

#endif
