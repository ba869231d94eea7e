// A pool of threads, for hosts whose engine lends us none.
#pragma once

#include <pthread.h>
#include <stdint.h>

namespace smalti {

// One loop at a time; a second caller meanwhile works alone. A caller waits only for threads that
// have begun to work on its loop. A forked child has none of its parent's threads: the pools that
// it inherits start their own.
class Pool {
 public:
  Pool();
  ~Pool();  // no loop may be running
  Pool(const Pool &) = delete;
  Pool &operator=(const Pool &) = delete;

  // Calls task(argument, i) for every i in [0, count) on up to `threads` threads, the caller's
  // among them.
  void run(int threads, int64_t count, void (*task)(void *argument, int64_t i), void *argument);

 private:
  static constexpr int kMaxWorkers = 63;

  struct Worker {
    Pool *pool;
    int index;
    pthread_t thread;
  };

  static void watch_forks();
  static void before_fork();
  static void after_fork();
  static void in_child();
  void enlist();
  void delist();
  void forget_threads();

  static void *enter(void *worker);
  void serve(int index);
  uint32_t wait_for_loop(uint32_t seen);
  void work();
  void start(int workers);
  void announce();
  void retire();

  pthread_mutex_t busy_ = PTHREAD_MUTEX_INITIALIZER;   // held while a loop runs
  pthread_mutex_t sleep_ = PTHREAD_MUTEX_INITIALIZER;  // for the two conditions
  pthread_cond_t posted_ = PTHREAD_COND_INITIALIZER;
  pthread_cond_t left_ = PTHREAD_COND_INITIALIZER;
  Worker workers_[kMaxWorkers];
  int started_ = 0;
  bool stop_ = false;

  // The loop. Threads join while it is open; `inside_` counts those who may still touch it.
  uint32_t number_ = 0;
  int open_ = 0;  // how many workers may join
  int inside_ = 0;
  int asleep_ = 0;
  int64_t count_ = 0, next_ = 0;
  void (*task_)(void *, int64_t) = nullptr;
  void *argument_ = nullptr;

  Pool *next_pool_ = nullptr;
};

}  // namespace smalti
