using System.Buffers;
using System.Text;
using System.Text.Json.Nodes;
using VllmNative.Tokenization;
using Xunit;

namespace VllmNative.Tests.Tokenization;

public class IncrementalDetokenizerTests
{
    [Fact]
    public void Increments_and_flush_together_are_the_whole_decoding()
    {
        Tokenizer tokenizer = DemoGoldens.Tokenizer;
        for (int seed = 0; seed < 2000; seed++)
        {
            Random random = new(seed);
            int[] ids = RandomIds(tokenizer, random);
            bool skip = random.Next(2) == 0;
            IncrementalDetokenizer detokenizer = new(tokenizer, skip);
            StringBuilder text = new();
            foreach (int id in ids)
            {
                string part = detokenizer.Append(id);
                Assert.False(part.Length > 0 && char.IsHighSurrogate(part[^1]), $"seed {seed}: half a character came out");
                text.Append(part);
            }

            text.Append(detokenizer.Flush());
            Assert.True(tokenizer.Decode(ids, skip) == text.ToString(), $"seed {seed}: [{string.Join(", ", ids)}]");
        }
    }

    [Fact]
    public void A_character_in_pieces_comes_out_once_it_is_complete()
    {
        Tokenizer tokenizer = DemoGoldens.Tokenizer;
        int[] ids = tokenizer.Encode("\U0001F600");
        Assert.True(ids.Length > 1, "the vocabulary should have no token for the emoji");
        IncrementalDetokenizer detokenizer = new(tokenizer);
        Assert.All(ids[..^1], id => Assert.Equal("", detokenizer.Append(id)));
        Assert.Equal("\U0001F600", detokenizer.Append(ids[^1]));
        Assert.Equal("", detokenizer.Flush());
    }

    [Fact]
    public void An_unfinished_character_becomes_a_replacement_character_at_the_end()
    {
        Tokenizer tokenizer = DemoGoldens.Tokenizer;
        IncrementalDetokenizer detokenizer = new(tokenizer);
        Assert.Equal("", detokenizer.Append(tokenizer.Encode("\U0001F600")[0]));
        Assert.Equal("\ufffd", detokenizer.Flush());
        Assert.Equal("", detokenizer.Flush());
    }

    [Fact]
    public void Spaces_between_special_tokens_are_put_only_between_two_in_a_row()
    {
        IncrementalDetokenizer detokenizer = new(DemoGoldens.Tokenizer, skipSpecialTokens: false, spacesBetweenSpecialTokens: true);
        int a = DemoGoldens.Tokenizer.Encode("a")[0];
        Assert.Equal("<|im_end|> <|im_start|>a<|im_end|>", detokenizer.Append([2, 1, a, 2]));
    }

    [Fact]
    public void All_ways_to_take_the_text_agree()
    {
        Tokenizer tokenizer = DemoGoldens.Tokenizer;
        int[] ids = tokenizer.Encode("Once upon \U0001F600 a time\u00e9");
        StringBuilder builder = new();
        new IncrementalDetokenizer(tokenizer).Append(ids, builder);
        ArrayBufferWriter<char> writer = new();
        new IncrementalDetokenizer(tokenizer).Append(ids, writer);
        Assert.Equal(tokenizer.Decode(ids), builder.ToString());
        Assert.Equal(tokenizer.Decode(ids), writer.WrittenSpan.ToString());
    }

    [Fact]
    public void The_leading_space_of_a_sentencepiece_vocabulary_is_stripped_once()
    {
        JsonObject json = TokenizerBuilder.Good();
        json["pre_tokenizer"] = null;
        json["normalizer"] = JsonNode.Parse("""{"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "_"}, {"type": "Replace", "pattern": {"String": " "}, "content": "_"}]}""");
        json["decoder"] = JsonNode.Parse("""{"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "_"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}""");
        json["added_tokens"] = JsonNode.Parse("""[{"id": 2, "content": "<end>", "special": true}]""");
        json["model"] = JsonNode.Parse("""
            {"type": "BPE", "byte_fallback": true, "fuse_unk": true, "unk_token": "?",
             "vocab": {"_": 0, "a": 1, "<end>": 2, "_a": 3, "<0xC3>": 4, "<0xA9>": 5, "?": 6}, "merges": ["_ a"]}
            """);
        Tokenizer tokenizer = TokenizerBuilder.Load(json);
        int[] ids = tokenizer.Encode("a  a\u00e9zz");
        Assert.Equal([3, 0, 3, 4, 5, 6], ids);
        Assert.Equal("a  a\u00e9?", tokenizer.Decode(ids));
        IncrementalDetokenizer detokenizer = new(tokenizer);
        Assert.Equal(["a", " ", " a", "", "\u00e9", "?"], ids.Select(detokenizer.Append));
    }

    [Fact]
    public void Appending_to_a_builder_allocates_nothing()
    {
        Tokenizer tokenizer = DemoGoldens.Tokenizer;
        int[] ids = tokenizer.Encode("Once upon a time there was a \U0001F600 robot.");
        IncrementalDetokenizer detokenizer = new(tokenizer);
        StringBuilder output = new(4096);
        detokenizer.Append(ids, output);
        output.Clear();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 20; i++)
        {
            detokenizer.Append(ids, output);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private static int[] RandomIds(Tokenizer tokenizer, Random random)
    {
        List<int> ids = [];
        int count = random.Next(0, 60);
        while (ids.Count < count)
        {
            switch (random.Next(4))
            {
                case 0:
                    // Single bytes, most of them parts of characters.
                    ids.Add(tokenizer.Encode("\U0001F600\u4e2d\u00e9\u0000") is var bytes ? bytes[random.Next(bytes.Length)] : 0);
                    break;
                case 1:
                    ids.Add(random.Next(0, 3));
                    break;
                case 2:
                    ids.AddRange(tokenizer.Encode(TextSamples.Random(random, 3)));
                    break;
                default:
                    ids.Add(random.Next(-1, tokenizer.VocabSize + 2));
                    break;
            }
        }

        return [.. ids];
    }
}
