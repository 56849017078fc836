// A JSON reader as small as a manifest needs: objects, arrays, strings, numbers, true, false, null.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace json {

struct Value {
    enum class Kind { null, boolean, number, text, list, object };

    Kind kind = Kind::null;
    double number = 0.0;  // also 0 or 1 for a boolean
    std::string text;
    std::vector<Value> list;
    std::map<std::string, Value> object;

    bool is_null() const { return kind == Kind::null; }
    bool is_text() const { return kind == Kind::text; }
    bool has(const std::string& key) const { return object.count(key) > 0; }

    const Value& operator[](const std::string& key) const {
        const auto found = object.find(key);
        if (found == object.end()) throw std::runtime_error("the manifest has no '" + key + "'");
        return found->second;
    }
};

class Reader {
public:
    explicit Reader(std::string source) : source_(std::move(source)) {}

    Value document() {
        Value value = next();
        skip_space();
        if (at_ != source_.size()) fail("something follows the document");
        return value;
    }

private:
    using Kind = Value::Kind;
    static constexpr int kDeepest = 200;

    Value next() {
        skip_space();
        if (++depth_ > kDeepest) fail("it is nested too deeply");
        Value value;
        switch (peek()) {
            case '{': value = object(); break;
            case '[': value = list(); break;
            case '"': value.kind = Kind::text; value.text = string(); break;
            case 't': take("true"); value.kind = Kind::boolean; value.number = 1.0; break;
            case 'f': take("false"); value.kind = Kind::boolean; break;
            case 'n': take("null"); break;
            default: value.kind = Kind::number; value.number = number();
        }
        --depth_;
        return value;
    }

    Value object() {
        Value value;
        value.kind = Kind::object;
        take("{");
        for (skip_space(); peek() != '}'; skip_space()) {
            if (!value.object.empty()) take(","), skip_space();
            std::string key = string();
            skip_space();
            take(":");
            value.object[std::move(key)] = next();
        }
        take("}");
        return value;
    }

    Value list() {
        Value value;
        value.kind = Kind::list;
        take("[");
        for (skip_space(); peek() != ']'; skip_space()) {
            if (!value.list.empty()) take(",");
            value.list.push_back(next());
        }
        take("]");
        return value;
    }

    std::string string() {
        std::string found;
        take("\"");
        while (peek() != '"') {
            const char letter = source_[at_++];
            if (letter == '\\') escape(found);
            else found += letter;
        }
        take("\"");
        return found;
    }

    void escape(std::string& found) {
        static const std::map<char, char> simple = {
            {'b', '\b'}, {'f', '\f'}, {'n', '\n'}, {'r', '\r'}, {'t', '\t'}};
        const char letter = peek();
        ++at_;
        if (letter != 'u') {
            const auto known = simple.find(letter);
            found += known == simple.end() ? letter : known->second;
            return;
        }
        if (at_ + 4 > source_.size()) fail("an escape is cut off");
        const unsigned long code = std::stoul(source_.substr(at_, 4), nullptr, 16);
        at_ += 4;
        append_utf8(found, code);
    }

    // Surrogate pairs stay two characters: only texts that nothing here compares hold them.
    static void append_utf8(std::string& found, unsigned long code) {
        if (code < 0x80) {
            found += static_cast<char>(code);
        } else if (code < 0x800) {
            found += static_cast<char>(0xC0 | (code >> 6));
            found += static_cast<char>(0x80 | (code & 0x3F));
        } else {
            found += static_cast<char>(0xE0 | (code >> 12));
            found += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
            found += static_cast<char>(0x80 | (code & 0x3F));
        }
    }

    double number() {  // Python also writes NaN and Infinity, which strtod reads
        const char* begin = source_.c_str() + at_;
        char* end = nullptr;
        const double value = std::strtod(begin, &end);
        if (end == begin) fail("a value is missing");
        at_ += static_cast<std::size_t>(end - begin);
        return value;
    }

    char peek() const {
        if (at_ >= source_.size()) fail("it ends too early");
        return source_[at_];
    }

    void take(const std::string& expected) {
        if (source_.compare(at_, expected.size(), expected) != 0) fail("'" + expected + "' is missing");
        at_ += expected.size();
    }

    void skip_space() {
        while (at_ < source_.size() && std::string(" \t\r\n").find(source_[at_]) != std::string::npos) ++at_;
    }

    [[noreturn]] void fail(const std::string& why) const {
        throw std::runtime_error("cannot read the manifest at byte " + std::to_string(at_) + ": " + why);
    }

    std::string source_;
    std::size_t at_ = 0;
    int depth_ = 0;
};

}  // namespace json
