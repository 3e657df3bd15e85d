using System.Text.Json.Nodes;
using VllmNative.Diagnostics;
using VllmNative.Tokenization;
using Xunit;

namespace VllmNative.Tests.Tokenization;

public class TokenizerFileTests
{
    [Fact]
    public void The_good_file_loads_and_merges_pairs_of_both_spellings()
    {
        Tokenizer tokenizer = TokenizerBuilder.Load(TokenizerBuilder.Good());
        Assert.Equal(7, tokenizer.VocabSize);
        Assert.Equal([4, 5, 0, 6], tokenizer.Encode("abc a<end>"));
        Assert.Equal("abc a", tokenizer.Decode([4, 5, 0, 6]));
        Assert.True(tokenizer.IsSpecial(6));
        Assert.Equal("<end>", tokenizer.IdToToken(6));
        Assert.Null(tokenizer.IdToToken(7));
        Assert.Null(tokenizer.IdToToken(-1));
        Assert.Equal(3, tokenizer.TokenToId("ab"));
    }

    [Theory]
    [InlineData("model.vocab.x", "-1", "'x' has id -1")]
    [InlineData("model.vocab.x", "1", "id 1 belongs to 'b' and to 'x'")]
    [InlineData("model.vocab.x", "8", "id 7 has no token")]
    [InlineData("model.vocab.x", "2000000000", "'x' has id 2000000000")]
    [InlineData("model.vocab.x", "1.5", "'x' has no 32-bit id")]
    [InlineData("model.vocab.x", "\"1\"", "'x' has no 32-bit id")]
    [InlineData("model.vocab", "[]", "expected an object")]
    [InlineData("model.vocab", "{}", "id 0 has no token")]
    [InlineData("model.merges", "[\"a z\"]", "refers to 'z'")]
    [InlineData("model.merges", "[\"b c\"]", "refers to 'bc'")]
    [InlineData("model.merges", "[\"ab\"]", "merge 0 'ab' is not a pair")]
    [InlineData("model.merges", "[\"a b c\"]", "is not a pair")]
    [InlineData("model.merges", "[[\"a\"]]", "is not a pair")]
    [InlineData("model.merges", "[3]", "is not a pair")]
    [InlineData("model.merges", "{}", "expected an array")]
    [InlineData("model.type", "\"Unigram\"", "'Unigram' is not supported")]
    [InlineData("model.dropout", "0.1", "dropout 0.1")]
    [InlineData("model.unk_token", "\"<unk>\"", "'<unk>' is not in the vocabulary")]
    [InlineData("model.end_of_word_suffix", "\"</w>\"", "'</w>' is not supported")]
    [InlineData("added_tokens", "[{\"id\": 0, \"content\": \"b\"}]", "added token 'b' has id 0, the vocabulary says 1")]
    [InlineData("added_tokens", "[{\"id\": 6, \"content\": \"\"}]", "must not be empty")]
    [InlineData("added_tokens", "[{\"id\": 6, \"content\": \"x\"}, {\"id\": 6, \"content\": \"x\"}]", "'x' is listed twice")]
    [InlineData("normalizer", "{\"type\": \"Nmt\"}", "normalizer type 'Nmt' is not supported")]
    [InlineData("pre_tokenizer", "{\"type\": \"UnicodeScripts\"}", "'UnicodeScripts' is not supported")]
    [InlineData("pre_tokenizer", "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"(\"}, \"behavior\": \"Isolated\"}", "'(' is not supported")]
    [InlineData("pre_tokenizer", "{\"type\": \"Split\", \"pattern\": {\"String\": \"x\"}, \"behavior\": \"Odd\"}", "'Odd' is not supported")]
    [InlineData("post_processor", "{\"type\": \"Other\"}", "'Other' is not supported")]
    [InlineData("decoder", "{\"type\": \"WordPiece\"}", "'WordPiece' is not supported")]
    public void A_file_that_does_not_fit_together_is_refused_and_the_value_named(string path, string value, string expected)
    {
        JsonObject json = TokenizerBuilder.Good();
        string[] parts = path.Split('.');
        JsonObject target = parts[..^1].Aggregate(json, (node, name) => node[name]!.AsObject());
        target[parts[^1]] = JsonNode.Parse(value);
        ModelFormatException error = Assert.Throws<ModelFormatException>(() => TokenizerBuilder.Load(json));
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_token_listed_twice_is_refused()
    {
        string json = TokenizerBuilder.Good().ToJsonString().Replace("\"a\":0", "\"a\":0,\"a\":7", StringComparison.Ordinal);
        Assert.Contains("'a' is listed twice", Assert.Throws<ModelFormatException>(() => TokenizerBuilder.LoadText(json)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("{\"model\": 3}")]
    [InlineData("{\"model\": {\"vocab\": {\"\\ud800\": 0}, \"merges\": []}}")]
    public void A_file_that_is_no_tokenizer_is_refused(string json) =>
        Assert.Throws<ModelFormatException>(() => TokenizerBuilder.LoadText(json));

    [Fact]
    public void Deep_nesting_is_refused()
    {
        string json = string.Concat(Enumerable.Repeat("{\"a\":", 100)) + "1" + new string('}', 100);
        Assert.Throws<ModelFormatException>(() => TokenizerBuilder.LoadText(json));
    }

    [Fact]
    public void A_file_over_the_size_limit_is_refused_unread()
    {
        string path = Path.GetTempFileName();
        try
        {
            using (FileStream file = File.OpenWrite(path))
            {
                file.SetLength((64L * 1024 * 1024) + 1);
            }

            Assert.Contains("the limit is 67108864", Assert.Throws<ModelFormatException>(() => Tokenizer.FromFile(path)).Message, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void A_missing_file_is_named()
    {
        string path = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        Assert.Contains(path, Assert.Throws<ModelFormatException>(() => Tokenizer.FromDirectory(path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Seeded_mutations_of_a_file_load_or_fail_with_a_typed_error()
    {
        string good = TokenizerBuilder.Good().ToJsonString();
        const string Replacements = "{}[]\",:0123456789abcnull-\\ \u00e9";
        Random random = new(20);
        for (int i = 0; i < 1000; i++)
        {
            char[] chars = good.ToCharArray();
            for (int n = random.Next(1, 4); n > 0; n--)
            {
                chars[random.Next(chars.Length)] = Replacements[random.Next(Replacements.Length)];
            }

            string json = new(chars);
            try
            {
                TokenizerBuilder.LoadText(json).Encode("abc a<end> caab");
            }
            catch (VllmException)
            {
                // Refused with a reason: fine.
            }
            catch (Exception e)
            {
                Assert.Fail($"mutation {i}: {e.GetType().Name} {e.Message}\n{json}");
            }
        }
    }
}
