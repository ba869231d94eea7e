// Loops of a pool of threads, each index counted: exits with 0 if every one ran exactly once.
//   pool_stress callers   several threads share a pool; pools come and go
//   pool_stress fork      processes split between loops, and go on with the pool they inherit
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hosts/pool.h"

namespace {

constexpr int kMaxCount = 300;
constexpr int kMaxCallers = 4;

struct Caller {
  smalti::Pool *pool;
  unsigned seed;
  int loops;
  bool wrong;
};

void count(void *argument, int64_t i) {
  int *counts = static_cast<int *>(argument);
  for (int spin = rand() % 50; spin > 0; --spin) __asm__ volatile("");
  __atomic_add_fetch(&counts[i], 1, __ATOMIC_RELAXED);
}

// Counts are plain after the loop: what the tasks wrote has to be there.
bool loop(smalti::Pool *pool, int threads, int length) {
  int counts[kMaxCount] = {};
  pool->run(threads, length, count, counts);
  for (int i = 0; i < kMaxCount; ++i) {
    if (counts[i] != (i < length ? 1 : 0)) return false;
  }
  return true;
}

void *call(void *argument) {
  auto *caller = static_cast<Caller *>(argument);
  for (int i = 0; i < caller->loops; ++i) {
    const int threads = rand_r(&caller->seed) % 6, length = rand_r(&caller->seed) % kMaxCount;
    caller->wrong |= !loop(caller->pool, threads, length);
    if (rand_r(&caller->seed) % 64 == 0) usleep(200);  // long enough for the pool to fall asleep
  }
  return nullptr;
}

bool share(int callers, int loops) {
  smalti::Pool pool;
  pthread_t threads[kMaxCallers];
  Caller calls[kMaxCallers];
  bool wrong = false;
  for (int i = 0; i < callers; ++i) {
    calls[i] = {&pool, static_cast<unsigned>(rand()), loops, false};
    pthread_create(&threads[i], nullptr, call, &calls[i]);
  }
  for (int i = 0; i < callers; ++i) {
    pthread_join(threads[i], nullptr);
    wrong |= calls[i].wrong;
  }
  return !wrong;
}

bool share_all() {
  for (int round = 0; round < 40; ++round) {
    if (!share(1 + round % kMaxCallers, 1 + rand() % 200)) return false;
  }
  return true;
}

int go_on(smalti::Pool *pool, bool leave) {
  alarm(20);  // a loop that waits for a thread of the parent's never ends
  bool right = true;
  for (int i = 0; i < 20; ++i) right &= loop(pool, 4, 1 + rand() % (kMaxCount - 1));
  if (!leave) delete pool;
  return right ? 0 : 1;
}

bool split(smalti::Pool *pool, int round) {
  if (!loop(pool, 4, 1 + rand() % 8)) return false;
  for (int spin = rand() % 20000; spin > 0; --spin) __asm__ volatile("");
  const pid_t child = fork();
  if (child == 0) _exit(go_on(pool, round % 2 == 0));
  int status = 0;
  return waitpid(child, &status, 0) == child && status == 0;
}

bool split_all() {
  auto *pool = new smalti::Pool();
  bool right = true;
  for (int round = 0; round < 600 && right; ++round) right = split(pool, round);
  delete pool;
  return right;
}

}  // namespace

int main(int, char **arguments) {
  const bool right = strcmp(arguments[1], "fork") == 0 ? split_all() : share_all();
  if (!right) fprintf(stderr, "a loop did not end, or ran an index not exactly once\n");
  return right ? 0 : 1;
}
