// Runs the blocks of a launch one after another, and the threads of a block as coroutines that switch
// at barriers and warp operations only. What CUDA leaves undefined is an error here: a barrier that
// not all threads of the block reach, different barriers at a time, a warp operation without one of
// the lanes in its mask. The order of blocks and threads is an option, as no result may depend on it.
//
// Address Sanitizer follows the coroutines by its annotations. Thread Sanitizer sees every thread of
// a block as a thread of its own that barriers, and nothing else, synchronise with the others.
#include "cuda_runtime.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <sstream>
#include <stdexcept>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef EMULATION_THREAD_SANITIZER  // this file itself is not instrumented
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

// The section of the __shared__ arrays, which build.py makes of .bss; its bounds are the linker's.
extern "C" char __start_emulated_shared[] __attribute__((weak, visibility("hidden")));
extern "C" char __stop_emulated_shared[] __attribute__((weak, visibility("hidden")));

namespace emulation {
namespace {

constexpr size_t kStackBytes = 256 << 10;
constexpr unsigned kWarp = 32;

enum class State { kNew, kReady, kAtBarrier, kAtWarp, kDone };

struct Fiber {
  ucontext_t context;
  char* stack = nullptr;
  void* fake_stack = nullptr;        // of Address Sanitizer
  void* thread_sanitizer = nullptr;  // of Thread Sanitizer

  ~Fiber() {
#ifdef __SANITIZE_ADDRESS__
    if (stack) ASAN_UNPOISON_MEMORY_REGION(stack, kStackBytes);
#endif
    if (stack) munmap(stack, kStackBytes);
  }
};

struct Thread {
  State state = State::kNew;
  Fiber* fiber = nullptr;
  Site site{};           // where it waits
  unsigned mask = 0;     // of the warp operation
  bool fence = false;
  uint64_t value = 0;
};

[[noreturn]] void fail(const std::string& message) {
  throw std::runtime_error("CUDA emulation: " + message);
}

std::string text(const Site& site) {
  std::ostringstream out;
  out << (site.file ? site.file : "?") << ':' << site.line;
  return out.str();
}

// Poisoned regions between the arrays must not be touched, so not memset, which would be checked.
__attribute__((no_sanitize("address", "thread"))) void fill_with_garbage(char* begin, char* end) {
  for (volatile char* at = begin; at < end; ++at) {
    *at = static_cast<char>(0xa5);
  }
}

class Scheduler {
 public:
  unsigned order_seed = 0;  // 0: ascending, 1: descending, else shuffled
  int64_t launches = 0;

  void run(const cudaLaunchConfig_t& config, const std::function<void()>& kernel) {
    const std::lock_guard<std::mutex> lock(mutex_);
    kernel_ = &kernel;
    ++launches;
    ::blockDim = config.blockDim;
    ::gridDim = config.gridDim;
    random_.seed(order_seed);
    const uint64_t blocks = uint64_t{gridDim.x} * gridDim.y * gridDim.z;
    const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
    // Exactly as large as requested, so that Address Sanitizer sees accesses behind it.
    shared_ = std::make_unique<double2[]>((config.dynamicSmemBytes + sizeof(double2) - 1) /
                                          sizeof(double2));
    shared_bytes_ = config.dynamicSmemBytes;
    try {
      run_blocks(blocks, threads);
    } catch (...) {
      fibers_.clear();  // some are still inside of a thread
      throw;
    }
    shared_.reset();
  }

  double2* shared() { return shared_.get(); }
  unsigned current() const { return current_; }
  unsigned lane() const { return current_ % kWarp; }

  void block_barrier(Site site) {
    Thread& thread = threads_[current_];
    thread.site = site;
    release(this);
    suspend(State::kAtBarrier);
    acquire(this);
  }

  const uint64_t* exchange(unsigned mask, uint64_t value, bool fence, Site site) {
    Thread& thread = threads_[current_];
    if (!(mask >> lane() & 1)) {
      error_ = "a lane that is not in its mask, at " + text(site);
    }
    thread.site = site;
    thread.mask = mask;
    thread.fence = fence;
    thread.value = value;
    const unsigned warp = current_ / kWarp;
    if (fence) release(&warp_values_[warp]);
    suspend(State::kAtWarp);
    if (fence) acquire(&warp_values_[warp]);
    return warp_values_[warp].data();
  }

 private:
  void run_blocks(uint64_t blocks, unsigned threads) {
    const uint64_t start = order_seed > 1 ? random_() % blocks : 0;
    for (uint64_t i = 0; i < blocks; ++i) {
      const uint64_t block = order_seed == 1 ? blocks - 1 - i : (start + i) % blocks;
      ::blockIdx = {static_cast<unsigned>(block % gridDim.x),
                    static_cast<unsigned>(block / gridDim.x % gridDim.y),
                    static_cast<unsigned>(block / gridDim.x / gridDim.y)};
      run_block(threads);
    }
  }

  void run_block(unsigned count) {
    fill_with_garbage(__start_emulated_shared, __stop_emulated_shared);
    fill_with_garbage(reinterpret_cast<char*>(shared_.get()),
                      reinterpret_cast<char*>(shared_.get()) + shared_bytes_);
    threads_.assign(count, Thread{});
    warp_values_.assign((count + kWarp - 1) / kWarp, std::vector<uint64_t>(kWarp));
    order_.resize(count);
    std::iota(order_.begin(), order_.end(), 0u);
    if (order_seed == 1) std::reverse(order_.begin(), order_.end());
    if (order_seed > 1) std::shuffle(order_.begin(), order_.end(), random_);
    free_.clear();
    for (auto& fiber : fibers_) free_.push_back(fiber.get());
    release(&block_boundary_);
    done_ = 0;
    next_ = 0;
    start_new_threads();
    while (done_ < count) {
      release_waiting();
      for (const unsigned index : order_) {
        if (threads_[index].state == State::kReady) resume(index);
      }
    }
    acquire(&block_boundary_);
  }

  // A coroutine runs one new thread after another until one of them waits: kernels without barriers
  // never switch.
  void start_new_threads() {
    while (next_ < order_.size()) {
      if (free_.empty()) {
        fibers_.push_back(make_fiber());
        free_.push_back(fibers_.back().get());
      }
      Fiber* fiber = free_.back();
      free_.pop_back();
      current_ = order_[next_];
      switch_to(fiber);
    }
  }

  void run_new_threads(Fiber* fiber) {
    while (next_ < order_.size()) {
      begin(order_[next_++], fiber);
      (*kernel_)();
      threads_[current_].state = State::kDone;
      ++done_;
      release(&block_boundary_);
#ifdef EMULATION_THREAD_SANITIZER
      break;  // every thread has a coroutine of its own
#endif
    }
    free_.push_back(fiber);
  }

  void begin(unsigned index, Fiber* fiber) {
    current_ = index;
    threads_[index].fiber = fiber;
    threads_[index].state = State::kReady;
    set_thread_index(index);
    acquire(&block_boundary_);
  }

  void set_thread_index(unsigned index) {
    ::threadIdx = {index % blockDim.x, index / blockDim.x % blockDim.y,
                   index / blockDim.x / blockDim.y};
  }

  // Called when every thread waits or is done: lets those go on whose operation is complete.
  void release_waiting() {
    if (!error_.empty()) fail(std::exchange(error_, {}));
    bool released = false;
    for (unsigned warp = 0; warp < warp_values_.size(); ++warp) {
      released |= release_warp(warp);
    }
    if (released) return;
    const Thread* first = nullptr;
    for (const Thread& thread : threads_) {
      if (thread.state == State::kAtWarp) {
        fail("a warp operation waits for lanes that never reach it, at " + text(thread.site));
      }
      if (thread.state == State::kAtBarrier && first == nullptr) first = &thread;
    }
    for (const Thread& thread : threads_) {
      if (thread.state == State::kDone) {
        fail("a thread has ended while others wait at a barrier, at " + text(first->site));
      }
      if (thread.site.line != first->site.line || thread.site.file != first->site.file) {
        fail("threads of a block wait at different barriers, at " + text(first->site) + " and " +
             text(thread.site));
      }
    }
    for (Thread& thread : threads_) thread.state = State::kReady;
  }

  bool release_warp(unsigned warp) {
    const unsigned begin = warp * kWarp;
    const unsigned end = std::min<unsigned>(begin + kWarp, threads_.size());
    bool released = false;
    for (unsigned i = begin; i < end; ++i) {
      const unsigned mask = threads_[i].mask;
      if (threads_[i].state != State::kAtWarp || !complete(begin, end, mask, threads_[i].site)) {
        continue;
      }
      for (unsigned j = begin; j < end; ++j) {
        if (mask >> (j - begin) & 1) {
          warp_values_[warp][j - begin] = threads_[j].value;
          threads_[j].state = State::kReady;
        }
      }
      released = true;
      break;  // the values of one operation at a time
    }
    return released;
  }

  // Whether all lanes of the mask wait at this operation.
  bool complete(unsigned begin, unsigned end, unsigned mask, const Site& site) const {
    for (unsigned lane = 0; lane < kWarp; ++lane) {
      if (!(mask >> lane & 1)) continue;
      if (begin + lane >= end) return false;
      const Thread& thread = threads_[begin + lane];
      if (thread.state != State::kAtWarp || thread.mask != mask || thread.site.line != site.line) {
        return false;
      }
    }
    return true;
  }

  // Coroutines.

  std::unique_ptr<Fiber> make_fiber() {
    auto fiber = std::make_unique<Fiber>();
    void* stack = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED) fail("no memory for a stack");
    fiber->stack = static_cast<char*>(stack);
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack;
    fiber->context.uc_stack.ss_size = kStackBytes;
    fiber->context.uc_link = nullptr;
    makecontext(&fiber->context, reinterpret_cast<void (*)()>(&Scheduler::fiber_main), 0);
#ifdef EMULATION_THREAD_SANITIZER
    fiber->thread_sanitizer = __tsan_create_fiber(0);
#endif
    return fiber;
  }

  static void fiber_main();

  void fiber_loop() {
    finish_switch(nullptr);
    for (;;) {
      Fiber* fiber = running_;
      run_new_threads(fiber);
      switch_back(fiber);
    }
  }

  void resume(unsigned index) {
    current_ = index;
    set_thread_index(index);
    switch_to(threads_[index].fiber);
  }

  void suspend(State state) {
    const unsigned index = current_;
    threads_[index].state = state;
    switch_back(threads_[index].fiber);
    // resume() has set current_ and the indices.
  }

  void switch_to(Fiber* fiber) {
    running_ = fiber;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&main_fake_stack_, fiber->stack, kStackBytes);
#endif
#ifdef EMULATION_THREAD_SANITIZER
    main_.thread_sanitizer = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(fiber->thread_sanitizer, 1);  // 1: without synchronisation
#endif
    swapcontext(&main_.context, &fiber->context);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(main_fake_stack_, nullptr, nullptr);
#endif
  }

  void switch_back(Fiber* fiber) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&fiber->fake_stack, main_stack_, main_stack_bytes_);
#endif
#ifdef EMULATION_THREAD_SANITIZER
    __tsan_switch_to_fiber(main_.thread_sanitizer, 1);
#endif
    swapcontext(&fiber->context, &main_.context);
    finish_switch(fiber->fake_stack);
  }

  void finish_switch([[maybe_unused]] void* fake_stack) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(fake_stack, &main_stack_, &main_stack_bytes_);
#endif
  }

  static void acquire([[maybe_unused]] void* address) {
#ifdef EMULATION_THREAD_SANITIZER
    __tsan_acquire(address);
#endif
  }

  static void release([[maybe_unused]] void* address) {
#ifdef EMULATION_THREAD_SANITIZER
    __tsan_release(address);
#endif
  }

  std::mutex mutex_;
  std::mt19937 random_;
  const std::function<void()>* kernel_ = nullptr;
  std::vector<Thread> threads_;
  std::vector<unsigned> order_;
  std::vector<std::vector<uint64_t>> warp_values_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> free_;
  std::unique_ptr<double2[]> shared_;
  size_t shared_bytes_ = 0;
  std::string error_;
  unsigned current_ = 0, done_ = 0;
  size_t next_ = 0;
  char block_boundary_ = 0;
  Fiber main_;
  Fiber* running_ = nullptr;
  void* main_fake_stack_ = nullptr;
  const void* main_stack_ = nullptr;
  size_t main_stack_bytes_ = 0;
};

Scheduler scheduler;

void Scheduler::fiber_main() { scheduler.fiber_loop(); }

}  // namespace

cudaError_t launch(const cudaLaunchConfig_t& config, const std::function<void()>& kernel) {
  scheduler.run(config, kernel);
  return cudaSuccess;
}

void block_barrier(Site site) { scheduler.block_barrier(site); }

const uint64_t* exchange(unsigned mask, uint64_t value, bool fence, Site site) {
  return scheduler.exchange(mask, value, fence, site);
}

unsigned lane() { return scheduler.lane(); }

double2* dynamic_shared_memory() { return scheduler.shared(); }

}  // namespace emulation

#define EMULATION_EXPORT extern "C" __attribute__((visibility("default")))

EMULATION_EXPORT void emulation_set_order(unsigned seed) { emulation::scheduler.order_seed = seed; }

EMULATION_EXPORT int64_t emulation_launches() { return emulation::scheduler.launches; }
