/* run_mpi_module.c - the only file that speaks MPI: a module that lrp run loads under mpirun. */
#include "run_mpi.h"
#include <limits.h>
#include <mpi.h>

enum { TAG = 1 };

static int begin(int *rank, int *n_rank)
{
  int given = 0;
  /* rank 0 serves the others in a thread, and only that thread calls while it lives */
  if (MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &given)) return 1;
  if (given < MPI_THREAD_SERIALIZED) return 1;
  return MPI_Comm_rank(MPI_COMM_WORLD, rank) || MPI_Comm_size(MPI_COMM_WORLD, n_rank);
}

static int share(void *bytes, size_t n)
{
  return n > INT_MAX || MPI_Bcast(bytes, (int)n, MPI_BYTE, 0, MPI_COMM_WORLD);
}

static int send(int to, const void *bytes, size_t n)
{
  return n > INT_MAX || MPI_Send(bytes, (int)n, MPI_BYTE, to, TAG, MPI_COMM_WORLD);
}

static int receive(int *from, void *bytes, size_t n, int *came)
{
  MPI_Status what;
  *came = 0;
  if (n > INT_MAX || MPI_Iprobe(MPI_ANY_SOURCE, TAG, MPI_COMM_WORLD, came, &what)) return 1;
  if (!*came) return 0;
  *from = what.MPI_SOURCE;
  return MPI_Recv(bytes, (int)n, MPI_BYTE, *from, TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE) != 0;
}

static int end(void)
{
  return MPI_Finalize();
}

extern __attribute__((visibility("default"))) const run_mpi lrp_mpi;
const run_mpi lrp_mpi = {.size = sizeof(run_mpi),
                         .begin = begin,
                         .share = share,
                         .send = send,
                         .receive = receive,
                         .end = end};
