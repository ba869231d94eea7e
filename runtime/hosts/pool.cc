#include "hosts/pool.h"

namespace smalti {
namespace {

// Operators of a network follow each other within microseconds: waking a sleeping thread would
// cost as much as a small one takes. Longer waits are left to the scheduler.
constexpr int kSpins = 2000;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

template <class T>
T load(const T &value) {
  return __atomic_load_n(&value, __ATOMIC_SEQ_CST);
}

template <class T>
void store(T &to, T value) {
  __atomic_store_n(&to, value, __ATOMIC_SEQ_CST);
}

// All pools, so that a forked child finds them.
pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_once_t watched = PTHREAD_ONCE_INIT;
Pool *pools = nullptr;

}  // namespace

// A lock that one of the lost threads holds would never be free, and joining them never end.
void Pool::watch_forks() { pthread_atfork(before_fork, after_fork, in_child); }

void Pool::before_fork() { pthread_mutex_lock(&list_lock); }

void Pool::after_fork() { pthread_mutex_unlock(&list_lock); }

void Pool::in_child() {
  for (Pool *pool = pools; pool != nullptr; pool = pool->next_pool_) pool->forget_threads();
  pthread_mutex_unlock(&list_lock);
}

void Pool::forget_threads() {
  pthread_mutex_init(&busy_, nullptr);
  pthread_mutex_init(&sleep_, nullptr);
  pthread_cond_init(&posted_, nullptr);
  pthread_cond_init(&left_, nullptr);
  started_ = open_ = inside_ = asleep_ = 0;
}

void Pool::enlist() {
  pthread_mutex_lock(&list_lock);
  next_pool_ = pools;
  pools = this;
  pthread_mutex_unlock(&list_lock);
}

void Pool::delist() {
  pthread_mutex_lock(&list_lock);
  Pool **link = &pools;
  while (*link != this) link = &(*link)->next_pool_;
  *link = next_pool_;
  pthread_mutex_unlock(&list_lock);
}

Pool::Pool() {
  pthread_once(&watched, watch_forks);
  enlist();
}

Pool::~Pool() {
  delist();
  pthread_mutex_lock(&sleep_);
  store(stop_, true);
  pthread_cond_broadcast(&posted_);
  pthread_mutex_unlock(&sleep_);
  for (int i = 0; i < started_; ++i) pthread_join(workers_[i].thread, nullptr);
}

void Pool::run(int threads, int64_t count, void (*task)(void *, int64_t), void *argument) {
  if (threads < 2 || count < 2 || pthread_mutex_trylock(&busy_) != 0) {
    for (int64_t i = 0; i < count; ++i) task(argument, i);
    return;
  }
  const int64_t helpers = threads < count ? threads - 1 : count - 1;
  start(static_cast<int>(helpers < kMaxWorkers ? helpers : kMaxWorkers));
  task_ = task;
  argument_ = argument;
  count_ = count;
  store(next_, int64_t{0});
  store(open_, static_cast<int>(helpers));
  announce();
  work();
  store(open_, 0);
  retire();
  pthread_mutex_unlock(&busy_);
}

// Threads that cannot be had only cost time.
void Pool::start(int workers) {
  while (started_ < workers) {
    Worker &worker = workers_[started_];
    worker = {this, started_, {}};
    if (pthread_create(&worker.thread, nullptr, enter, &worker) != 0) return;
    ++started_;
  }
}

void Pool::announce() {
  __atomic_add_fetch(&number_, 1, __ATOMIC_SEQ_CST);
  if (load(asleep_) == 0) return;
  pthread_mutex_lock(&sleep_);
  pthread_cond_broadcast(&posted_);
  pthread_mutex_unlock(&sleep_);
}

// Waits until nobody can touch the loop any more.
void Pool::retire() {
  for (int i = 0; i < kSpins && load(inside_) != 0; ++i) pause();
  pthread_mutex_lock(&sleep_);
  while (load(inside_) != 0) pthread_cond_wait(&left_, &sleep_);
  pthread_mutex_unlock(&sleep_);
}

void Pool::work() {
  for (;;) {
    const int64_t i = __atomic_fetch_add(&next_, 1, __ATOMIC_RELAXED);
    if (i >= count_) return;
    task_(argument_, i);
  }
}

void *Pool::enter(void *worker) {
  const Worker *self = static_cast<const Worker *>(worker);
  self->pool->serve(self->index);
  return nullptr;
}

uint32_t Pool::wait_for_loop(uint32_t seen) {
  for (int i = 0; i < kSpins; ++i) {
    if (load(number_) != seen || load(stop_)) return load(number_);
    pause();
  }
  pthread_mutex_lock(&sleep_);
  __atomic_add_fetch(&asleep_, 1, __ATOMIC_SEQ_CST);
  while (load(number_) == seen && !load(stop_)) pthread_cond_wait(&posted_, &sleep_);
  __atomic_sub_fetch(&asleep_, 1, __ATOMIC_SEQ_CST);
  pthread_mutex_unlock(&sleep_);
  return load(number_);
}

void Pool::serve(int index) {
  for (uint32_t seen = 0; !load(stop_);) {
    seen = wait_for_loop(seen);
    // Inside first, then a look at the door: the caller shuts it first, then looks inside.
    __atomic_add_fetch(&inside_, 1, __ATOMIC_SEQ_CST);
    if (index < load(open_)) work();
    if (__atomic_sub_fetch(&inside_, 1, __ATOMIC_SEQ_CST) == 0) {
      pthread_mutex_lock(&sleep_);
      pthread_cond_signal(&left_);
      pthread_mutex_unlock(&sleep_);
    }
  }
}

}  // namespace smalti
