/* run_mpi.h - what lrp run needs of MPI, as a table in a module of its own: only a program started
 * by mpirun loads it, so that lrp itself does not depend on MPI. */
#ifndef LRP_CLI_RUN_MPI_H
#define LRP_CLI_RUN_MPI_H
#include <stddef.h>

#define RUN_MPI_SYMBOL "lrp_mpi"
/* All return 0, or not 0 when MPI fails (which by default ends the program before).  One thread at
 * a time may call them. */
typedef struct run_mpi {
  size_t size; /* of this table: the module must fit the command */
  int (*begin)(int *rank, int *n_rank);
  int (*share)(void *bytes, size_t n); /* rank 0's bytes to all; all must call it */
  int (*send)(int to, const void *bytes, size_t n);
  int (*receive)(int *from, void *bytes, size_t n, int *came); /* does not wait */
  int (*end)(void);
} run_mpi;
#endif
