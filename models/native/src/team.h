// The threads that run a whole call together, on the caller's OpenMP team, which is also torch's.
//
// Work is handed out in chunks to whoever asks first, because cores of rented machines are seldom equally fast. No
// result depends on who computed it: every output is computed by one thread from first to last.
#pragma once
#include <omp.h>
#include <sched.h>

#include <atomic>
#include "tables.h"

namespace speech {

// What the threads of one call share.
struct Gang {
    alignas(64) std::atomic<int> next{0};     // first thing nobody has taken yet
    alignas(64) std::atomic<int> arrived{0};  // threads at the barrier
    alignas(64) std::atomic<int> round{0};    // barriers passed
};

inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

struct Team {
    Gang& gang;
    int index, size;

    // OpenMP's own barrier sleeps as soon as the process has more threads than cores, which costs more than the work.
    void barrier() const {
        if (size == 1) {
            gang.next.store(0, std::memory_order_relaxed);
            return;
        }
        int round = gang.round.load(std::memory_order_relaxed);
        if (gang.arrived.fetch_add(1, std::memory_order_acq_rel) == size - 1) {
            gang.arrived.store(0, std::memory_order_relaxed);
            gang.next.store(0, std::memory_order_relaxed);
            gang.round.store(round + 1, std::memory_order_release);
            return;
        }
        for (int spins = 0; gang.round.load(std::memory_order_acquire) == round; spins++) {
            if (spins < 500)
                relax();
            else
                sched_yield();  // the others may need this very core
        }
    }

    // Call work(Range) for parts of 0 .. count, in multiples of `unit`, until all are taken. A barrier must stand
    // between two of these.
    template <class Work>
    void divide(int count, int unit, const Work& work) const {
        int chunk = count / unit / (8 * size);
        chunk = (chunk > 0 ? chunk : 1) * unit;
        if (size == 1) chunk = count;
        for (;;) {
            int first = gang.next.fetch_add(chunk, std::memory_order_relaxed);
            if (first >= count) return;
            work(Range{first, first + chunk < count ? first + chunk : count});
        }
    }
};

// Run body(Team) on up to `threads` threads.
template <class Body>
void together(int threads, const Body& body) {
    Gang gang;
#pragma omp parallel num_threads(threads)
    body(Team{gang, omp_get_thread_num(), omp_get_num_threads()});
}

}  // namespace speech
