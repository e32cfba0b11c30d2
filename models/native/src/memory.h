// Buffers whose rows start on cache lines.
#pragma once
#include <cstddef>
#include <cstdlib>
#include <new>
#include <utility>

namespace speech {

template <class T>
class Buffer {
public:
    Buffer() = default;
    explicit Buffer(int64_t count) : bytes_((size_t(count) * sizeof(T) + 63) / 64 * 64) {
        data_ = static_cast<T*>(std::aligned_alloc(64, bytes_ ? bytes_ : 64));
        if (!data_) throw std::bad_alloc();
    }
    Buffer(Buffer&& other) noexcept { swap(other); }
    Buffer& operator=(Buffer&& other) noexcept {
        swap(other);
        return *this;
    }
    ~Buffer() { std::free(data_); }

    T* get() const { return data_; }
    T& operator[](int64_t i) const { return data_[i]; }
    int64_t bytes() const { return int64_t(bytes_); }

private:
    void swap(Buffer& other) {
        std::swap(data_, other.data_);
        std::swap(bytes_, other.bytes_);
    }
    T* data_ = nullptr;
    size_t bytes_ = 0;
};

}  // namespace speech
