using System.Diagnostics;
using System.Text;
using VllmNative.Diagnostics;
using VllmNative.Loading;
using Xunit;

namespace VllmNative.Tests.Loading;

/// <summary>Every way in which a safetensors file can lie is an error that names the file, the tensor and the cause.</summary>
public sealed class SafetensorsMalformedTests : IDisposable
{
    private readonly TempDirectory _temp = new();

    public void Dispose() => _temp.Dispose();

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(7)]
    public void A_file_below_eight_bytes_is_rejected(int length) => AssertRejected(new byte[length], null, $"{length} bytes are too few");

    [Theory]
    [InlineData(100_000_001ul, "above the limit of 100000000")]
    [InlineData(ulong.MaxValue, "above the limit")]
    [InlineData(1ul << 63, "above the limit")]
    [InlineData(3ul, "past the end of the file")]
    [InlineData(100_000_000ul, "past the end of the file")]
    public void A_false_header_length_is_rejected(ulong length, string cause) =>
        AssertRejected(SafetensorsBytes.File(Encoding.UTF8.GetBytes("{}"), 0, length), null, cause);

    [Fact]
    public void A_header_that_is_not_utf8_is_rejected() =>
        AssertRejected(SafetensorsBytes.File([(byte)'{', (byte)'"', 0xC3, 0x28, (byte)'"', (byte)'}'], 0), null, "not valid UTF-8");

    [Theory]
    [InlineData("")]
    [InlineData(" {}")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("\uFEFF{}")]
    public void A_header_that_does_not_start_with_a_brace_is_rejected(string header) =>
        AssertRejected(SafetensorsBytes.File(header, 0), null, "does not start with '{'");

    [Theory]
    [InlineData("{")]
    [InlineData("{]")]
    [InlineData("{}x")]
    [InlineData("{}{}")]
    [InlineData("{},")]
    [InlineData("{}\0")]
    [InlineData("{\"a\"}")]
    [InlineData("{\"a\":}")]
    [InlineData("{\"a\":{\"dtype\":\"U8\"")]
    [InlineData("{\"a\":{\"shape\":[0],}}")]
    [InlineData("{/* */}")]
    public void Bad_json_is_rejected(string header) => AssertRejected(SafetensorsBytes.File(header, 0), null, "not valid JSON");

    [Fact]
    public void Deep_nesting_is_rejected() =>
        AssertRejected(SafetensorsBytes.File("{\"a\":{\"shape\":" + new string('[', 100_000), 0), "a", "not an integer");

    [Fact]
    public void Half_a_surrogate_pair_is_rejected() =>
        AssertRejected(SafetensorsBytes.File("{" + SafetensorsBytes.Entry("\\ud800", "U8", "[0]", "[0,0]") + "}", 0), null, "not valid Unicode");

    [Theory]
    [InlineData("t")]
    [InlineData("\\u0074")]
    public void A_name_listed_twice_is_rejected(string second) =>
        AssertEntriesRejected([SafetensorsBytes.Entry("t", "U8", "[4]", "[0,4]"), SafetensorsBytes.Entry(second, "U8", "[4]", "[4,8]")], 8, "t", "listed twice");

    [Theory]
    [InlineData("\"__metadata__\":{\"a\":1}", "expected a string as the value of 'a'")]
    [InlineData("\"__metadata__\":{\"a\":null}", "expected a string")]
    [InlineData("\"__metadata__\":{\"a\":{}}", "expected a string")]
    [InlineData("\"__metadata__\":{\"a\":[\"b\"]}", "expected a string")]
    [InlineData("\"__metadata__\":[]", "expected an object of strings")]
    [InlineData("\"__metadata__\":\"x\"", "expected an object of strings")]
    [InlineData("\"__metadata__\":{},\"__metadata__\":{}", "appears twice")]
    [InlineData("\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}", "key 'a' appears twice")]
    public void Bad_metadata_is_rejected(string metadata, string cause) => AssertEntriesRejected([metadata], 0, "__metadata__", cause);

    [Theory]
    [InlineData("F31")]
    [InlineData("f32")]
    [InlineData("")]
    [InlineData("13")]
    [InlineData("F32,F16")]
    [InlineData(" F32")]
    public void An_unknown_dtype_is_rejected(string dtype) =>
        AssertEntriesRejected([SafetensorsBytes.Entry("t", dtype, "[1]", "[0,4]")], 4, "t", $"unknown dtype '{dtype}'");

    [Theory]
    [InlineData("[9223372036854775807,2]", "overflows")]
    [InlineData("[4294967296,4294967296]", "overflows")]
    [InlineData("[4294967296,4294967296,0]", "overflows")]
    [InlineData("[2305843009213693952]", "overflows")] // 2^61 elements of 4 bytes wrap to 0
    [InlineData("[4611686018427387905]", "overflows")] // 2^62 + 1 of them wrap to 4
    [InlineData("[18446744073709551615]", "not an integer of 0 to 2^63-1")]
    [InlineData("[-1]", "not an integer")]
    [InlineData("[1.0]", "not an integer")]
    [InlineData("[1e0]", "not an integer")]
    [InlineData("[\"1\"]", "not an integer")]
    [InlineData("[null]", "not an integer")]
    [InlineData("[[1]]", "not an integer")]
    [InlineData("1", "expected an array as shape")]
    [InlineData("null", "expected an array as shape")]
    [InlineData("[2]", "takes 8 bytes, data_offsets span 4")]
    [InlineData("[0]", "takes 0 bytes, data_offsets span 4")]
    [InlineData("[1,1,2]", "takes 8 bytes")]
    public void A_shape_that_does_not_give_the_size_is_rejected(string shape, string cause) =>
        AssertEntriesRejected([SafetensorsBytes.Entry("t", "F32", shape, "[0,4]")], 4, "t", cause);

    [Fact]
    public void A_shape_of_too_many_dimensions_is_rejected() =>
        AssertEntriesRejected([SafetensorsBytes.Entry("t", "U8", "[" + string.Join(',', Enumerable.Repeat(1, 65)) + "]", "[0,1]")], 1, "t", "more than 64");

    [Fact]
    public void Packed_types_must_fill_whole_bytes() =>
        AssertEntriesRejected([SafetensorsBytes.Entry("t", "F4", "[3]", "[0,2]")], 2, "t", "not a whole number of bytes");

    [Theory]
    [InlineData("[4,0]", "begin 4 is above end 0")]
    [InlineData("[0,5]", "end 5 is past the 4 data bytes")]
    [InlineData("[0,9223372036854775807]", "is past the 4 data bytes")]
    [InlineData("[0]", "1 numbers instead of 2")]
    [InlineData("[]", "0 numbers instead of 2")]
    [InlineData("[0,2,4]", "3 numbers instead of 2")]
    [InlineData("[-4,0]", "not an integer")]
    [InlineData("[0,4.0]", "not an integer")]
    [InlineData("{}", "expected an array as data_offsets")]
    public void Bad_offsets_are_rejected(string offsets, string cause) =>
        AssertEntriesRejected([SafetensorsBytes.Entry("t", "F32", "[1]", offsets)], 4, "t", cause);

    [Theory]
    [InlineData("\"t\":{\"shape\":[0],\"data_offsets\":[0,0]}", "dtype is missing")]
    [InlineData("\"t\":{\"dtype\":\"U8\",\"data_offsets\":[0,0]}", "shape is missing")]
    [InlineData("\"t\":{\"dtype\":\"U8\",\"shape\":[0]}", "data_offsets is missing")]
    [InlineData("\"t\":{}", "dtype is missing")]
    [InlineData("\"t\":{\"dtype\":\"U8\",\"dtype\":\"U8\"}", "dtype appears twice")]
    [InlineData("\"t\":{\"shape\":[0],\"shape\":[0]}", "shape appears twice")]
    [InlineData("\"t\":{\"data_offsets\":[0,0],\"data_offsets\":[0,0]}", "data_offsets appears twice")]
    [InlineData("\"t\":{\"strides\":[1]}", "unknown key 'strides'")]
    [InlineData("\"t\":{\"dtype\":7}", "expected a string as dtype")]
    [InlineData("\"t\":[]", "expected an object")]
    [InlineData("\"t\":null", "expected an object")]
    public void An_incomplete_entry_is_rejected(string entry, string cause) => AssertEntriesRejected([entry], 0, "t", cause);

    [Fact]
    public void Overlapping_tensors_are_rejected() => AssertEntriesRejected(
        [
            SafetensorsBytes.Entry("a", "U8", "[4]", "[0,4]"),
            SafetensorsBytes.Entry("b", "U8", "[4]", "[3,7]"),
        ],
        8,
        "b",
        "inside the tensor 'a' that ends at 4");

    [Fact]
    public void A_hole_is_rejected() => AssertEntriesRejected(
        [
            SafetensorsBytes.Entry("b", "U8", "[3]", "[5,8]"),
            SafetensorsBytes.Entry("a", "U8", "[4]", "[0,4]"),
        ],
        8,
        "b",
        "leaving a hole after byte 4");

    [Fact]
    public void A_hole_at_the_start_is_rejected() =>
        AssertEntriesRejected([SafetensorsBytes.Entry("a", "U8", "[4]", "[1,5]")], 5, "a", "leaving a hole after byte 0");

    [Fact]
    public void Data_behind_the_last_tensor_is_rejected() =>
        AssertEntriesRejected([SafetensorsBytes.Entry("a", "U8", "[4]", "[0,4]")], 5, null, "tensors end at data byte 4, the file at 5");

    [Fact]
    public void Data_without_tensors_is_rejected() => AssertRejected(SafetensorsBytes.File("{}", 1), null, "tensors end at data byte 0");

    [Fact]
    public void A_repeated_slice_bomb_is_left_at_its_second_entry()
    {
        StringBuilder header = new("{");
        for (int i = 0; i < 100_000; i++)
        {
            header.Append(i == 0 ? "" : ",").Append(SafetensorsBytes.Entry($"t{i}", "U8", "[4]", "[0,4]"));
        }

        byte[] file = SafetensorsBytes.File(header.Append('}').ToString(), 4);
        AssertRejected(file, "t1", "tensors overlap");

        // Neither the header nor its entries are collected before the check.
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Throws<ModelFormatException>(() => SafetensorsFile.Open(Path.Combine(_temp.Path, "bad.safetensors")));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 100_000);
    }

    [Fact]
    public void More_than_a_million_tensors_are_rejected_in_bounded_time()
    {
        StringBuilder header = new("{");
        for (int i = 0; i <= SafetensorsHeader.MaxTensors; i++)
        {
            // Empty tensors may share a place, so only their number is wrong.
            header.Append(i == 0 ? "" : ",").Append(SafetensorsBytes.Entry($"{i}", "U8", "[0]", "[0,0]"));
        }

        byte[] file = SafetensorsBytes.File(header.Append('}').ToString(), 0);
        Stopwatch watch = Stopwatch.StartNew();
        AssertRejected(file, null, "more than 1000000 tensors");
        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(60), $"took {watch.Elapsed}");
    }

    [Fact]
    public void Names_in_errors_are_short_and_free_of_control_characters()
    {
        ModelFormatException error = AssertRejected(
            SafetensorsBytes.File("{\"" + new string('x', 10_000) + "\\u001b[31m\\n\":0}", 0), null, "expected an object");
        Assert.InRange(error.Item!.Length, 1, 100);
        error = AssertRejected(SafetensorsBytes.File("{\"\\u001b[31m\\n\":0}", 0), null, "expected an object");
        Assert.DoesNotContain(error.Message, char.IsControl);
    }

    private void AssertEntriesRejected(string[] entries, int dataLength, string? item, string cause) =>
        AssertRejected(SafetensorsBytes.File("{" + string.Join(',', entries) + "}", dataLength), item, cause);

    private ModelFormatException AssertRejected(byte[] content, string? item, string cause)
    {
        string path = _temp.Write("bad.safetensors", content);
        ModelFormatException error = Assert.Throws<ModelFormatException>(() => SafetensorsFile.Open(path));
        Assert.Equal(path, error.File);
        Assert.Contains(cause, error.Cause, StringComparison.Ordinal);
        if (item is not null)
        {
            Assert.Equal(item, error.Item);
        }

        return error;
    }
}
