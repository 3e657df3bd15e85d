using System.Text.Json.Nodes;
using VllmNative.Diagnostics;
using VllmNative.Tokenization;
using Xunit;

namespace VllmNative.Tests.Tokenization;

public class TokenizerTests
{
    private const int End = 2;

    [Fact]
    public void Special_tokens_in_a_text_are_text_when_parsing_is_off()
    {
        Tokenizer tokenizer = DemoGoldens.Tokenizer;
        Assert.Equal("<|im_end|>", tokenizer.IdToToken(End));
        Assert.Equal([End], tokenizer.Encode("<|im_end|>"));
        int[] plain = tokenizer.Encode("a<|im_end|>b", parseSpecialTokens: false);
        Assert.DoesNotContain(End, plain);
        Assert.Equal("a<|im_end|>b", tokenizer.Decode(plain));
    }

    [Fact]
    public void Half_surrogate_pairs_encode_as_the_replacement_character()
    {
        Tokenizer tokenizer = DemoGoldens.Tokenizer;
        foreach (string text in new[] { "\ud800", "a\udc00b", "\ud800\ud800", "\udc00\ud800", "x\ud83d\ude00\ud83d" })
        {
            string expected = System.Text.Encoding.UTF8.GetString(System.Text.Encoding.UTF8.GetBytes(text));
            Assert.Equal(tokenizer.Encode(expected), tokenizer.Encode(text));
            Assert.Equal(expected, tokenizer.Decode(tokenizer.Encode(text)));
        }
    }

    [Fact]
    public void Random_texts_survive_the_round_trip_and_threads_agree()
    {
        Tokenizer tokenizer = DemoGoldens.Tokenizer;
        Random random = new(7);
        string[] texts = [.. Enumerable.Range(0, 400).Select(_ => TextSamples.Random(random, random.Next(0, 600)))];
        int[][] batch = tokenizer.EncodeBatch(texts);
        for (int i = 0; i < texts.Length; i++)
        {
            Assert.Equal(texts[i], tokenizer.Decode(batch[i], skipSpecialTokens: false));
            Assert.Equal(batch[i], tokenizer.Encode(texts[i]));
        }
    }

    [Fact]
    public void Ids_outside_the_vocabulary_decode_to_nothing()
    {
        Assert.Equal("", DemoGoldens.Tokenizer.Decode([-1, int.MinValue, int.MaxValue, DemoGoldens.Tokenizer.VocabSize]));
        Assert.False(DemoGoldens.Tokenizer.IsSpecial(-1));
    }

    [Fact]
    public void An_added_token_swallows_whitespace_and_keeps_to_word_bounds_as_it_says()
    {
        JsonObject json = TokenizerBuilder.Good();
        json["added_tokens"] = JsonNode.Parse("""
            [{"id": 6, "content": "<l>", "lstrip": true, "normalized": false}, {"id": 7, "content": "<r>", "rstrip": true, "normalized": false},
             {"id": 8, "content": "cc", "single_word": true, "normalized": false}, {"id": 9, "content": "<l><r>", "normalized": true}]
            """);
        Tokenizer tokenizer = TokenizerBuilder.Load(json);
        Assert.Equal([0, 6, 5, 1], tokenizer.Encode("a  <l> b"));
        Assert.Equal([0, 5, 7, 1], tokenizer.Encode("a <r>  b"));
        Assert.Equal([8, 5, 0], tokenizer.Encode("cc a"));
        Assert.Equal([2, 2, 0], tokenizer.Encode("cca"));
        Assert.Equal([6, 7], tokenizer.Encode("<l><r>"));
    }

    [Fact]
    public void The_longest_added_token_wins()
    {
        JsonObject json = TokenizerBuilder.Good();
        json["added_tokens"] = JsonNode.Parse("""[{"id": 6, "content": "<a"}, {"id": 7, "content": "<a>b"}, {"id": 8, "content": "<"}]""");
        Tokenizer tokenizer = TokenizerBuilder.Load(json);
        Assert.Equal([7, 6, 8, 1], tokenizer.Encode("<a>b<a<b"));
    }

    [Fact]
    public void The_post_processor_surrounds_a_text_only_when_asked()
    {
        JsonObject json = TokenizerBuilder.Good();
        json["post_processor"] = JsonNode.Parse("""
            {"type": "Sequence", "processors": [{"type": "ByteLevel"}, {"type": "TemplateProcessing",
             "single": [{"SpecialToken": {"id": "<end>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<end>", "type_id": 0}}],
             "special_tokens": {"<end>": {"id": "<end>", "ids": [6], "tokens": ["<end>"]}}}]}
            """);
        Tokenizer tokenizer = TokenizerBuilder.Load(json);
        Assert.Equal([6, 0, 6], tokenizer.Encode("a"));
        Assert.Equal([0], tokenizer.Encode("a", addSpecialTokens: false));
    }

    [Fact]
    public void A_split_pattern_that_backtracks_without_end_is_cut_off_with_a_typed_error()
    {
        JsonObject json = TokenizerBuilder.Good();
        json["pre_tokenizer"] = JsonNode.Parse("""
            {"type": "Sequence", "pretokenizers": [
              {"type": "Split", "pattern": {"Regex": "(?=b)b|(a+)+$(?!x)"}, "behavior": "Isolated", "invert": false},
              {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]}
            """);
        Tokenizer tokenizer = TokenizerBuilder.Load(json);
        Assert.Throws<InvalidRequestException>(() => tokenizer.Encode(new string('a', 5000) + "b"));
    }

    [Theory]
    [InlineData("a")]
    [InlineData(" ")]
    [InlineData("\n ")]
    [InlineData("<|im_end")]
    [InlineData("<")]
    [InlineData("'")]
    [InlineData("\u0300")]
    [InlineData("\U00020000")]
    public void A_million_times_the_same_takes_seconds_not_hours(string part)
    {
        string text = string.Concat(Enumerable.Repeat(part, 1_000_000 / part.Length));
        int[] ids = DemoGoldens.Tokenizer.Encode(text);
        Assert.Equal(text, DemoGoldens.Tokenizer.Decode(ids, skipSpecialTokens: false));
    }
}
